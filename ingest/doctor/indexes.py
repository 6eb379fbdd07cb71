"""Vector indexes: each large tenant has one, whole and of the right make, and nobody else has."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from psycopg import sql
from psycopg.rows import class_row

from ingest.doctor.findings import EVERYWHERE, Finding, Severity
from ingest.indexing import build_vector_index
from ingest.store import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import reference_statement, tenant_statement
from retrieval.engine import IndexProfile
from retrieval.search.planning import vector_index_name

_MAKE = ("m='16'", "ef_construction='200'", "halfvec_ip_ops")


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndex:
    """An index as Postgres has it."""

    name: str
    valid: bool
    definition: str

    def is_made_for(self, tenant: TenantId, profile: IndexProfile) -> bool:
        """True when it walks this tenant's vectors, of this length, by our parameters."""
        wanted = (*_MAKE, f"halfvec({profile.dimensions})", f"tenant_id = '{tenant}'")
        return all(part in self.definition for part in wanted)


def vector_indexes(dsn: str) -> dict[str, VectorIndex]:
    """All of them by name. Raises `StoreUnavailable`."""
    statement = reference_statement("ingest.doctor", "vector_indexes")
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(VectorIndex)) as cursor:
        return {index.name: index for index in cursor.execute(statement.query, {}).fetchall()}


def examine_index(
    dsn: str, tenant: TenantId, profile: IndexProfile, chunks: int, index_from: int, *, fix: bool
) -> Iterator[Finding]:
    """What is wrong with the tenant's index, if it has or needs one."""
    index = vector_indexes(dsn).get(vector_index_name(tenant))
    if index is None:
        if chunks > index_from:
            yield _rebuilt(dsn, tenant, profile, index_from, _finding("vector_index_missing", "warn", tenant), fix=fix)
    elif not index.valid:
        yield _rebuilt(dsn, tenant, profile, index_from, _finding("vector_index_invalid", "error", tenant), fix=fix)
    elif not index.is_made_for(tenant, profile):
        yield _rebuilt(dsn, tenant, profile, index_from, _finding("vector_index_wrong", "error", tenant), fix=fix)


def examine_nobodys(dsn: str, tenants: Iterable[TenantId], *, fix: bool) -> Iterator[Finding]:
    """Indexes of tenants that are gone."""
    nobodys = sorted(set(vector_indexes(dsn)) - set(map(vector_index_name, tenants)))
    if not nobodys:
        return
    if fix:
        for name in nobodys:
            _drop(dsn, name)
    finding = _finding("vector_index_of_nobody", "warn", EVERYWHERE)
    yield replace(finding, count=len(nobodys), mended=fix)


def _rebuilt(
    dsn: str, tenant: TenantId, profile: IndexProfile, index_from: int, finding: Finding, *, fix: bool
) -> Finding:
    if not fix:
        return finding
    _drop(dsn, vector_index_name(tenant))
    build_vector_index(dsn, tenant, profile, index_from)
    return replace(finding, mended=True)


def _drop(dsn: str, name: str) -> None:
    drop = tenant_statement("ingest", "drop_vector_index").composed(index_name=sql.Identifier(name))
    with connected(dsn) as connection, store_errors():
        connection.execute(drop.query)


def _finding(code: str, severity: Severity, tenant: str) -> Finding:
    what = f"vector index {code.removeprefix('vector_index_').replace('_', ' ')}"
    return Finding(code=code, severity=severity, tenant=tenant, count=1, what=what, remedy="pincite doctor --fix")
