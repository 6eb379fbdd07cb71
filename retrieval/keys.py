"""API keys: `pk_<key id>_<secret>`. Only the secret's hash is stored; a key is bound to one tenant."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from retrieval.access import TenantId, principal
from retrieval.database.connecting import connect
from retrieval.database.errors import store_errors
from retrieval.database.statements import reference_statement
from retrieval.engine import Engine
from retrieval.errors import InputError, NotFound, Unauthenticated

SCOPES = frozenset({"query", "act_as", "explain", "admin", "documents"})
"""`query`: ask and read. `act_as`: may speak for a user by passing that user's principals. `explain`: is told exact
scores, and so how common a word is in all of the tenant's documents. `admin`: `explain`, and that a document exists
which the asker may not see; manages the tenant's webhooks. `documents`: hands in, changes and takes away all of the
tenant's documents, also those it may not read: their text is shown to nobody by it."""

_KEY = re.compile(r"pk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_API_KEY = reference_statement("retrieval", "api_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A known key: whose documents it opens, and as whom."""

    key_id: str
    tenant: TenantId
    name: str
    scopes: frozenset[str]
    principals: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """A key as an operator sees it: nothing of its secret."""

    key_id: str
    tenant: TenantId
    name: str
    scopes: list[str]
    principals: list[str]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredKey:
    key_id: str
    tenant: TenantId
    name: str
    scopes: list[str]
    principals: list[str]
    secret_hash: bytes


async def find_key(engine: Engine, presented: str) -> ApiKey:
    """The key's record. Raises `Unauthenticated` for anything that is not a living key, and `StoreUnavailable`."""
    parts = _KEY.fullmatch(presented)
    if parts is None:
        raise Unauthenticated("an API key is needed: 'Authorization: Bearer pk_…'")
    found = await engine.store.reference_rows(_StoredKey, _API_KEY, key_id=parts[1])
    if not found or not hmac.compare_digest(found[0].secret_hash, _hash(parts[2])):
        raise Unauthenticated("this API key is not known")
    [key] = found
    return ApiKey(
        key_id=key.key_id,
        tenant=key.tenant,
        name=key.name,
        scopes=frozenset(key.scopes),
        principals=frozenset(map(principal, key.principals)),
    )


def create_key(dsn: str, tenant: TenantId, name: str, scopes: Iterable[str], principals: Iterable[str]) -> str:
    """Makes a key and returns it: the only time it is ever shown. The tenant is created if it is new.

    Raises `InvalidPrincipal`, `InputError` for an unknown scope, `StoreUnavailable`.
    """
    granted = frozenset(scopes)
    if not granted or not granted <= SCOPES:
        raise InputError(f"scopes are {', '.join(sorted(SCOPES))}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = {
        "key_id": key_id,
        "tenant_id": tenant,
        "name": name,
        "secret_hash": _hash(secret),
        "scopes": sorted(granted),
        "principals": sorted(map(principal, principals)),
    }
    with store_errors(), connect(dsn) as connection:
        connection.execute(reference_statement("retrieval", "add_tenant").query, {"tenant_id": tenant})
        connection.execute(reference_statement("retrieval", "add_api_key").query, row)
    return f"pk_{key_id}_{secret}"


def list_keys(dsn: str, tenant: TenantId) -> list[ListedKey]:
    """The tenant's keys, revoked ones too, oldest first. Raises `StoreUnavailable`."""
    statement = reference_statement("retrieval", "list_api_keys")
    with (
        store_errors(),
        connect(dsn) as connection,
        connection.cursor(row_factory=class_row(ListedKey)) as rows,
    ):
        return rows.execute(statement.query, {"tenant_id": tenant}).fetchall()


def revoke_key(dsn: str, key_id: str) -> None:
    """The key opens nothing any more, from the next request on. Raises `NotFound`, `StoreUnavailable`."""
    statement = reference_statement("retrieval", "revoke_api_key")
    with store_errors(), connect(dsn) as connection:
        if connection.execute(statement.query, {"key_id": key_id}).rowcount == 0:
            raise NotFound(f"no living key {key_id!r}")


def _hash(secret: str) -> bytes:
    # The secret is 256 random bits: there is nothing to guess, so a fast hash is the right one.
    return hashlib.sha256(secret.encode()).digest()
