"""What a new generation will take on disk, said before it is built."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from psycopg.rows import class_row

from ingest.generations.placing import tenants
from ingest.transactions import connected
from retrieval.database.errors import store_errors
from retrieval.database.generations import TABLES, Generation, schema_of, search_path
from retrieval.database.statements import reference_statement, tenant_statement
from retrieval.database.store import set_local

_VECTOR_OVERHEAD, _INDEX_OVERHEAD = 160, 350
"""Bytes besides the numbers themselves, of a vector with its key and of one in an HNSW index, m = 16: measured on
300,000 of 384 dimensions (README of the benchmarks)."""
_PER_DIMENSION = 2
_MARGIN = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Chunks there are now, and bytes for about as many in the new generation."""

    chunks: int
    bytes: int

    def fits(self, folder: Path) -> bool:
        """Whether there is room, and some to spare, on the folder's disk."""
        return shutil.disk_usage(folder).free > _MARGIN * self.bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunks:
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    bytes: int


def estimate(dsn: str, live: Generation, dimensions: int, index_from: int) -> Estimate:
    """Measured on the live generation: texts and words take what they take now, vectors by their new length. Raises
    `StoreUnavailable`."""
    counts = _chunks_of_tenants(dsn, live)
    tables = [f"{schema_of(live.generation_id)}.{table}" for table in TABLES if table != "embeddings"]
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(_Size)) as cursor:
        statement = reference_statement("ingest.generations", "size")
        [rest] = cursor.execute(statement.query, {"tables": tables}).fetchall()
    vector = _PER_DIMENSION * dimensions
    indexed = sum(count for count in counts if count > index_from)
    vectors = sum(counts) * (vector + _VECTOR_OVERHEAD) + indexed * (vector + _INDEX_OVERHEAD)
    return Estimate(chunks=sum(counts), bytes=rest.bytes + vectors)


def _chunks_of_tenants(dsn: str, live: Generation) -> list[int]:
    statement = tenant_statement("ingest.generations", "tenant_chunks")
    counts: list[int] = []
    with connected(dsn) as connection, store_errors(), connection.transaction():
        connection.execute(search_path(live.generation_id))
        for tenant in tenants(connection):
            connection.execute(set_local("pincite.tenant", tenant))
            with connection.cursor(row_factory=class_row(_Chunks)) as cursor:
                [found] = cursor.execute(statement.query, {"tenant_id": tenant}).fetchall()
            counts.append(found.chunks)
    return counts
