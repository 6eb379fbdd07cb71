"""What belongs to the whole index rather than to a document: the model it is bound to, vector indexes, statistics."""

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingest.store import connected
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.statements import ReferenceStatement, TenantStatement, reference_statement, tenant_statement
from retrieval.engine import IndexProfile, check_profile
from retrieval.errors import IndexMismatch
from retrieval.models.protocols import Embedder
from retrieval.search.planning import vector_index_name

_BUILD_POLL = 0.5
MOST_DIMENSIONS = 4000
"""What pgvector's HNSW takes of a halfvec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _VectorIndex:
    chunk_count: int
    valid: bool | None


def claim_profile(dsn: str, embedder: Embedder) -> IndexProfile:
    """Binds an empty database to this embedder. Raises `IndexMismatch` when it belongs to another one."""
    if embedder.dimensions > MOST_DIMENSIONS:
        raise IndexMismatch(f"vectors of more than {MOST_DIMENSIONS} dimensions cannot be indexed")
    with connected(dsn) as connection, store_errors():
        connection.execute(
            _reference("claim_profile").query, {"embedder": embedder.name, "dimensions": embedder.dimensions}
        )
    profile = check_index(dsn, embedder)
    assert profile is not None
    return profile


def check_index(dsn: str, embedder: Embedder) -> IndexProfile | None:
    """The index's profile, None when nothing was ingested yet. Raises `IndexMismatch` for another embedder's."""
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(IndexProfile)) as cursor:
        found = cursor.execute(reference_statement("retrieval", "index_profile").query).fetchall()
    if not found:
        return None
    check_profile(found[0], embedder)
    if found[0].dimensions != embedder.dimensions:
        raise IndexMismatch(
            f"the embedder gives {embedder.dimensions} dimensions, the index was built with {found[0].dimensions}"
        )
    return found[0]


def build_vector_index(dsn: str, tenant: TenantId, profile: IndexProfile, index_from: int) -> bool:
    """Builds the tenant's HNSW index once it has more than `index_from` chunks and none, or only the ruin of one.

    True when it built. After the first bulk load, because building is 4-5 times faster than inserting. Searches go on
    meanwhile. One build at a time: a run that finds another one building waits for it. Raises `StoreUnavailable`.
    """
    name = {"index_name": sql.Identifier(vector_index_name(tenant))}
    with connected(dsn) as connection, store_errors():
        if not _is_due(connection, tenant, index_from):
            return False
        _become_only_builder(connection)
        if not _is_due(connection, tenant, index_from):
            return False
        connection.execute(_statement("drop_vector_index").composed(**name).query)
        connection.execute("SET maintenance_work_mem = '512MB'")
        create = _statement("create_vector_index").composed(
            **name, dimensions=sql.Literal(profile.dimensions), tenant_id=sql.Literal(tenant)
        )
        connection.execute(create.query)
    return True


def _is_due(connection: psycopg.Connection[Any], tenant: TenantId, index_from: int) -> bool:
    with connection.cursor(row_factory=class_row(_VectorIndex)) as cursor:
        index = {"tenant_id": tenant, "index_name": vector_index_name(tenant)}
        [found] = cursor.execute(_statement("vector_index").query, index).fetchall()
    return not found.valid and found.chunk_count > index_from


def tidy(dsn: str) -> None:
    """Brings the planner's statistics up to date after a load, and merges what GIN keeps aside after many inserts:
    until then the planner shuns the index. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, store_errors():
        connection.execute(
            "VACUUM (ANALYZE) documents, chunks, embeddings, chunk_terms, term_statistics, grants,"
            " principal_statistics, document_fields, field_statistics"
        )


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
