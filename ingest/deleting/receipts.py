"""Receipts: what was deleted, for whom, since when nobody finds it; and whether that still holds.

A receipt has no uri, no filter and no word of a document: only ids that follow from tenant and uri, and a hash of what
was asked for. Its digest shows that it is as it was written, to who trusts the database's administrator.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from ingest.deleting.belongings import GO_WITH_A_DOCUMENT, GO_WITH_A_TENANT, counting_of_tenant, statement
from ingest.deleting.records import Records, open_records
from retrieval.access import TenantId
from retrieval.database.statements import TenantStatement
from retrieval.errors import NotFound

_HANDED_IN = frozenset({"uploads", "revisions"})
"""What a document that is handed in again has before it is stored."""
Scope = Literal["documents", "filter", "tenant"]
State = Literal["under_way", "complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Whose data to delete, and who asks. `invisible` is told the seconds from `asked_at` to nobody finding them."""

    dsn: str
    tenant: TenantId
    asked_by: str
    asked_at: datetime
    invisible: Callable[[float], None] = lambda _seconds: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A deletion. `removed`: rows by table. `invisible_at`: from then on nothing of what it counts was found.

    One that stays `under_way` broke off: what it counts is gone, what it does not is not.
    """

    receipt_id: UUID
    scope: Scope
    asked: bytes
    asked_by: str
    asked_at: datetime
    state: State
    invisible_at: datetime
    removed: dict[str, int]
    digest: bytes

    @property
    def documents(self) -> int:
        """How many documents it is for."""
        return self.removed.get("documents", 0)

    @property
    def seconds(self) -> float:
        """From asking to nobody finding it."""
        return (self.invisible_at - self.asked_at).total_seconds()

    def as_json(self) -> str:
        """For programs."""
        fields = asdict(self) | {"asked": self.asked.hex(), "digest": self.digest.hex(), "documents": self.documents}
        return json.dumps(fields, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a later look finds. `left`: rows by table that should not be there; `again`: documents that came back."""

    intact: bool
    left: Mapping[str, int]
    again: int

    @property
    def holds(self) -> bool:
        """The receipt is as it was written, and nothing that it is for was left behind."""
        return self.intact and not self.left


@dataclass(frozen=True, slots=True, kw_only=True)
class _Id:
    document_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    document_id: UUID
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantState:
    """A tenant as its own row has it."""

    created_at: datetime
    leaving: bool


def asked_for(tenant: TenantId, scope: Scope, what: object) -> bytes:
    """The hash of a request: who knows the request can show that the receipt is for it."""
    return hashlib.sha256(json.dumps([tenant, scope, what], sort_keys=True, default=str).encode()).digest()


def begun(deletion: Deletion, scope: Scope, asked: bytes) -> Receipt:
    """A receipt for nothing as yet."""
    return Receipt(
        receipt_id=uuid4(),
        scope=scope,
        asked=asked,
        asked_by=deletion.asked_by,
        asked_at=deletion.asked_at,
        state="under_way",
        invisible_at=datetime.now(UTC),
        removed={},
        digest=b"",
    )


def with_removed(receipt: Receipt, removed: Mapping[str, int]) -> Receipt:
    """The receipt for these rows as well."""
    tables = [*receipt.removed, *(table for table in removed if table not in receipt.removed)]
    sums = {table: receipt.removed.get(table, 0) + removed.get(table, 0) for table in tables}
    return replace(receipt, removed=sums, invisible_at=datetime.now(UTC))


def put_receipt(records: Records, receipt: Receipt, documents: Iterable[UUID] = ()) -> None:
    """Enters the receipt as it is now, and the documents that it is for besides those it has."""
    fields = asdict(receipt) | {"removed": Jsonb(receipt.removed)}
    records.run(statement("put_receipt"), **fields)
    records.run(statement("put_deleted"), receipt_id=receipt.receipt_id, document_ids=list(documents))


def closed(records: Records, receipt: Receipt) -> Receipt:
    """The receipt after its last commit, complete and sealed; entered as such."""
    done = replace(receipt, state="complete", invisible_at=_invisible(receipt))
    done = replace(done, digest=_digest(done, deleted_ids(records, done)))
    put_receipt(records, done)
    return done


def list_receipts(dsn: str, tenant: TenantId) -> list[Receipt]:
    """The tenant's receipts, newest first, also once the tenant is gone. Raises `StoreUnavailable`."""
    with open_records(dsn, tenant) as records, records.transaction():
        return records.rows(Receipt, statement("receipts"), receipt_id=None)


def find_receipt(dsn: str, tenant: TenantId, receipt_id: UUID) -> Receipt:
    """Raises `NotFound`, `StoreUnavailable`."""
    with open_records(dsn, tenant) as records, records.transaction():
        return _found(records, receipt_id)


def verify(dsn: str, tenant: TenantId, receipt_id: UUID) -> Verification:
    """Looks again into every table that the deletion went through.

    A document that was ingested again since is counted as such, and what it has is not left over; nor is what waits
    of one that was handed in again. Raises `NotFound`, `StoreUnavailable`.
    """
    with open_records(dsn, tenant) as records, records.transaction():
        receipt = _found(records, receipt_id)
        documents = deleted_ids(records, receipt)
        intact = receipt.state != "complete" or receipt.digest == _digest(receipt, documents)
        if receipt.scope == "tenant":
            left, again = _left_of_tenant(records, receipt)
        else:
            left, again = _left_of_documents(records, receipt, documents)
    return Verification(intact=intact, left=left, again=again)


def deleted_ids(records: Records, receipt: Receipt) -> list[UUID]:
    """The documents the receipt is for, in order."""
    found = records.rows(_Id, statement("deleted_ids"), receipt_id=receipt.receipt_id)
    return [row.document_id for row in found]


def _found(records: Records, receipt_id: UUID) -> Receipt:
    found = records.rows(Receipt, statement("receipts"), receipt_id=receipt_id)
    if not found:
        raise NotFound("no such receipt of this tenant")
    return found[0]


def _left_of_documents(records: Records, receipt: Receipt, documents: list[UUID]) -> tuple[dict[str, int], int]:
    there = records.rows(_Since, statement("documents_since"), document_ids=documents)
    again = {row.document_id for row in there if row.updated_at > receipt.asked_at}
    gone = {document for document in documents if document not in again}
    known = {"document_ids": documents, "asked_at": receipt.asked_at}
    waiting = {row.document_id for row in records.rows(_Id, statement("handed_in_since"), **known)}
    left = {}
    for part in GO_WITH_A_DOCUMENT:
        looked_for = gone - waiting if part.table in _HANDED_IN else gone
        left[part.table] = _rows(records, part.table, part.counting, document_ids=list(looked_for))
    return {table: rows for table, rows in left.items() if rows}, len(again)


def _left_of_tenant(records: Records, receipt: Receipt) -> tuple[dict[str, int], int]:
    """What a tenant has that was made anew under the same name is its own."""
    tenant = records.rows(TenantState, statement("tenant"))
    if tenant and tenant[0].created_at > receipt.asked_at:
        return {}, _rows(records, "documents", counting_of_tenant("documents"))
    left = {table: _rows(records, table, counting_of_tenant(table)) for table in GO_WITH_A_TENANT}
    return {table: rows for table, rows in left.items() if rows} | ({"tenants": 1} if tenant else {}), 0


def _rows(records: Records, table: str, counting: TenantStatement, **parameters: object) -> int:
    return sum(records.rows(_Rows, counting, **parameters)[0].rows for _ in records.times(table))


def _invisible(receipt: Receipt) -> datetime:
    """A tenant is invisible from its first transaction on, documents from their last."""
    return receipt.invisible_at if receipt.scope == "tenant" else datetime.now(UTC)


def _digest(receipt: Receipt, documents: Iterable[UUID]) -> bytes:
    fields: dict[str, Any] = asdict(receipt)
    del fields["digest"], fields["state"]
    for moment in ("asked_at", "invisible_at"):
        fields[moment] = fields[moment].astimezone(UTC).isoformat()
    text = json.dumps([fields, sorted(map(str, documents))], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()
