"""Vector indexes: each large tenant has one, whole and of the right make, and nobody else has."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from psycopg import sql
from psycopg.rows import class_row

from ingest.doctor.findings import EVERYWHERE, Finding, Severity
from ingest.indexing import build_vector_index
from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.generations import Generation
from retrieval.database.statements import reference_statement, tenant_statement
from retrieval.search.planning import vector_index_name

_MAKE = ("m='16'", "ef_construction='200'", "halfvec_ip_ops")


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndex:
    """An index as Postgres has it."""

    schema: str
    name: str
    valid: bool
    definition: str

    def is_made_for(self, tenant: TenantId, generation: Generation) -> bool:
        """True when it walks this tenant's vectors, of this length, by our parameters."""
        wanted = (*_MAKE, f"halfvec({generation.dimensions})", f"tenant_id = '{tenant}'")
        return all(part in self.definition for part in wanted)


def vector_indexes(dsn: str) -> dict[tuple[str, str], VectorIndex]:
    """All of them by schema and name. Raises `StoreUnavailable`."""
    statement = reference_statement("ingest.doctor", "vector_indexes")
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(VectorIndex)) as cursor:
        return {(index.schema, index.name): index for index in cursor.execute(statement.query, {}).fetchall()}


def examine_index(
    dsn: str, tenant: TenantId, generation: Generation, chunks: int, index_from: int, *, fix: bool
) -> Iterator[Finding]:
    """What is wrong with the tenant's index in the generation, if it has one, or needs one: the live one's."""
    index = vector_indexes(dsn).get((generation.schema, vector_index_name(tenant)))
    if index is None:
        if chunks <= index_from or generation.state != "live":
            return
        finding = _finding("vector_index_missing", "warn", tenant)
    elif not index.valid:
        finding = _finding("vector_index_invalid", "error", tenant)
    elif not index.is_made_for(tenant, generation):
        finding = _finding("vector_index_wrong", "error", tenant)
    else:
        return
    if fix:
        _drop(dsn, generation.schema, vector_index_name(tenant))
        build_vector_index(dsn, tenant, generation, index_from)
    yield replace(finding, mended=fix)


def examine_nobodys(dsn: str, tenants: Iterable[TenantId], *, fix: bool) -> Iterator[Finding]:
    """Indexes of tenants that are gone."""
    known = set(map(vector_index_name, tenants))
    nobodys = sorted(place for place in vector_indexes(dsn) if place[1] not in known)
    if not nobodys:
        return
    if fix:
        for schema, name in nobodys:
            _drop(dsn, schema, name)
    finding = _finding("vector_index_of_nobody", "warn", EVERYWHERE)
    yield replace(finding, count=len(nobodys), mended=fix)


def _drop(dsn: str, schema: str, name: str) -> None:
    drop = tenant_statement("ingest", "drop_vector_index").composed(index_name=sql.Identifier(schema, name))
    with connected(dsn) as connection, store_errors():
        connection.execute(drop.query)


def _finding(code: str, severity: Severity, tenant: str) -> Finding:
    what = f"vector index {code.removeprefix('vector_index_').replace('_', ' ')}"
    return Finding(code=code, severity=severity, tenant=tenant, count=1, what=what, remedy="pincite doctor --fix")
