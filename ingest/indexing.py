"""What belongs to the whole index rather than to a document: the model it is bound to, vector indexes, statistics."""

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingest.transactions import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.generations import FIRST, GENERATIONS, TABLES, Generation, live_one, path_of, schema_of
from retrieval.database.statements import ReferenceStatement, TenantStatement, reference_statement, tenant_statement
from retrieval.engine import check_embedder
from retrieval.errors import IndexMismatch
from retrieval.models.protocols import Embedder
from retrieval.search.planning import vector_index_name

_SHARED = ("documents", "grants", "document_fields", "field_statistics")
_BUILD_POLL = 0.5
MOST_DIMENSIONS = 4000
"""What pgvector's HNSW takes of a halfvec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _VectorIndex:
    chunk_count: int
    valid: bool | None


def claim_generation(dsn: str, embedder: Embedder) -> Generation:
    """Binds an empty database to this embedder. Raises `IndexMismatch` when it belongs to another one."""
    if embedder.dimensions > MOST_DIMENSIONS:
        raise IndexMismatch(f"vectors of more than {MOST_DIMENSIONS} dimensions cannot be indexed")
    with connected(dsn) as connection, store_errors():
        connection.execute(
            _reference("claim_generation").query, {"embedder": embedder.name, "dimensions": embedder.dimensions}
        )
    generation = check_index(dsn, embedder)
    assert generation is not None
    return generation


def check_index(dsn: str, embedder: Embedder) -> Generation | None:
    """The live generation, None when nothing was ingested yet. Raises `IndexMismatch` for another embedder's."""
    generation = live_one(generations(dsn))
    if generation is None:
        return None
    check_embedder(generation, embedder)
    if generation.dimensions != embedder.dimensions:
        raise IndexMismatch(
            f"the embedder gives {embedder.dimensions} dimensions, the index was built with {generation.dimensions}"
        )
    return generation


def generations(dsn: str) -> list[Generation]:
    """All there are, oldest first. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(Generation)) as cursor:
        return cursor.execute(GENERATIONS.query).fetchall()


def build_vector_index(dsn: str, tenant: TenantId, generation: Generation, index_from: int) -> bool:
    """Builds the tenant's HNSW index once it has more than `index_from` chunks and none, or only the ruin of one.

    True when it built. After the first bulk load, because building is 4-5 times faster than inserting. Searches go on
    meanwhile. One build at a time: a run that finds another one building waits for it. Raises `StoreUnavailable`.
    """
    name = vector_index_name(tenant)
    with connected(dsn) as connection, store_errors():
        connection.execute(sql.SQL("SET search_path = {}").format(path_of(generation.generation_id)))
        if not _is_due(connection, tenant, index_from):
            return False
        _become_only_builder(connection)
        if not _is_due(connection, tenant, index_from):
            return False
        ruin = sql.Identifier(generation.schema, name)
        connection.execute(_statement("drop_vector_index").composed(index_name=ruin).query)
        connection.execute("SET maintenance_work_mem = '512MB'")
        create = _statement("create_vector_index").composed(
            index_name=sql.Identifier(name),
            dimensions=sql.Literal(generation.dimensions),
            tenant_id=sql.Literal(tenant),
        )
        connection.execute(create.query)
    return True


def _is_due(connection: psycopg.Connection[Any], tenant: TenantId, index_from: int) -> bool:
    with connection.cursor(row_factory=class_row(_VectorIndex)) as cursor:
        index = {"tenant_id": tenant, "index_name": vector_index_name(tenant)}
        [found] = cursor.execute(_statement("vector_index").query, index).fetchall()
    return not found.valid and found.chunk_count > index_from


def tidy(dsn: str, generation_id: int = FIRST) -> None:
    """Brings the planner's statistics up to date after a load, and merges what GIN keeps aside after many inserts:
    until then the planner shuns the index. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, store_errors():
        tables = [sql.Identifier(schema_of(generation_id), table) for table in TABLES]
        shared = [sql.Identifier("public", table) for table in _SHARED]
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.SQL(", ").join([*tables, *shared])))


def _become_only_builder(connection: psycopg.Connection[Any]) -> None:
    """Takes the builders' lock, which ends with the connection. Asks again and again instead of waiting in one
    statement: that would hold a snapshot, for whose end the other build, being concurrent, would wait in turn."""
    statement = _reference("lock_index_build").query
    while connection.execute(statement).fetchone() != (True,):
        time.sleep(_BUILD_POLL)


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest", name)


def _reference(name: str) -> ReferenceStatement:
    return reference_statement("ingest", name)
