"""What the writer makes of vectors that are given, against raw COPY: `python -m evals.benchmarks.writing`.

Raw COPY BINARY of text and vector into a table of these columns is the floor: no second wall, no words, no permissions,
no counts. The words are kept apart as well, because no COPY computes them. Batch by batch in turns, a transaction each;
wall time, and CPU time of client and server.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql

from evals.benchmarks.made_up_documents import batches, made_up_documents
from evals.benchmarks.measuring import cpu_ms, markdown, open_bench, publish
from ingest.indexing import build_vector_index
from ingest.store import EmbeddedDocument, TenantWriter, add_tenant, open_writer
from retrieval.access import tenant_id
from retrieval.database.generations import FIRST, Generation
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.search.planning import vector_index_name

DIMENSIONS = 384
_TENANT = tenant_id("bench")
_PROFILE = Generation(embedder="made-up", dimensions=DIMENSIONS)
_OF_WORDS = tuple(tenant_statement("ingest", name) for name in ("add_terms", "count_terms"))

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Wall time, and CPU time of client and server together, in milliseconds."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(wall=self.wall + other.wall, cpu=self.cpu + other.cpu)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(wall=self.wall - other.wall, cpu=self.cpu - other.cpu)

    @classmethod
    def so_far(cls, pid: int) -> "Spent":
        """Up to now, with the server's process `pid`."""
        return cls(wall=time.perf_counter() * 1000, cpu=time.process_time() * 1000 + cpu_ms(pid))


class _TimedWriter(TenantWriter):
    """Keeps apart what the words cost."""

    words = Spent()

    def _run(self, statement: TenantStatement, **parameters: object) -> int:
        begun = Spent.so_far(self._connection.info.backend_pid)
        try:
            return super()._run(statement, **parameters)
        finally:
            if statement in _OF_WORDS:
                self.words += Spent.so_far(self._connection.info.backend_pid) - begun


def main(
    data_dir: Annotated[Path, typer.Option(help="Of the server; what is in its tables goes")],
    chunks: Annotated[int, typer.Option(min=1000)] = 20_000,
    indexed_chunks: Annotated[int, typer.Option(min=1000, help="Written with a vector index in place")] = 4_000,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints chunks per second, first without a vector index, then with it in place."""
    bench = open_bench(data_dir)
    rows: list[list[object]] = []
    for size in (10, 1000):
        documents = list(made_up_documents(chunks + indexed_chunks, size, DIMENSIONS))
        first = chunks // size
        with psycopg.connect(bench.dsn, autocommit=True) as connection:
            register_vector(connection)
            _empty(connection)
            add_tenant(bench.dsn, _TENANT)
            rows.append([f"documents of {size}, no index", *_rates(bench.dsn, connection, documents[:first])])
            build_vector_index(bench.dsn, _TENANT, _PROFILE, 0)
            connection.execute(_RAW_INDEX)
            rows.append([f"documents of {size}, index in place", *_rates(bench.dsn, connection, documents[first:])])
    columns = ["", "writer, chunks/s", "COPY, chunks/s", "of COPY", "by cpu", "but for the words", "by cpu"]
    about = (
        f"{chunks:,} made-up chunks, their vectors of {DIMENSIONS} given; {indexed_chunks:,} more with an HNSW index."
    )
    publish("writing", "Writing against raw COPY BINARY", f"{about}\n\n{markdown(columns, rows)}", record=record)


def _empty(connection: Connection) -> None:
    connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(vector_index_name(_TENANT))))
    connection.execute("TRUNCATE tenants CASCADE")
    connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s) ON CONFLICT DO NOTHING", [DIMENSIONS])
    connection.execute("DROP TABLE IF EXISTS raw_chunks")
    connection.execute(
        "CREATE TABLE raw_chunks (tenant_id text, uri text, ordinal integer, text text, embedding halfvec)"
    )
    connection.execute("ALTER TABLE raw_chunks ALTER COLUMN embedding SET STORAGE PLAIN")


def _rates(dsn: str, connection: Connection, documents: Sequence[EmbeddedDocument]) -> list[str]:
    """The table's figures: rates of both, and what part of COPY's the writer's is, with and without the words."""
    written, copied = Spent(), Spent()
    pid = connection.info.backend_pid
    with _open(dsn) as writer:
        writers_pid = writer._connection.info.backend_pid  # noqa: SLF001 - the server's process, for its clock
        for some in batches(documents):
            begun = Spent.so_far(writers_pid)
            writer.replace(some, FIRST)
            written += Spent.so_far(writers_pid) - begun
            begun = Spent.so_far(pid)
            _copy(connection, some)
            copied += Spent.so_far(pid) - begun
        rest = written - writer.words
    count = sum(len(made.chunks) for made in documents)
    rates = (f"{count / spent.wall * 1000:,.0f}" for spent in (written, copied))
    parts = (copied.wall / written.wall, copied.cpu / written.cpu, copied.wall / rest.wall, copied.cpu / rest.cpu)
    return [*rates, *(f"{part:.2f}" for part in parts)]


@contextmanager
def _open(dsn: str) -> Iterator[_TimedWriter]:
    with open_writer(dsn, _TENANT) as writer:
        yield _TimedWriter(writer._connection, _TENANT)  # noqa: SLF001 - the same connection, with a clock


def _copy(connection: Connection, documents: Sequence[EmbeddedDocument]) -> None:
    with connection.cursor() as cursor, cursor.copy(_RAW) as copy:
        copy.set_types(("text", "text", "int4", "text", "halfvec"))
        for made in documents:
            for chunk, vector in zip(made.chunks, made.vectors, strict=True):
                copy.write_row((_TENANT, made.parsed.source.uri, chunk.ordinal, chunk.text, HalfVector(vector)))


_RAW = "COPY raw_chunks (tenant_id, uri, ordinal, text, embedding) FROM STDIN WITH (FORMAT binary)"
_RAW_INDEX = (
    f"CREATE INDEX ON raw_chunks USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_ip_ops)"
    " WITH (m = 16, ef_construction = 200)"
)

if __name__ == "__main__":
    typer.run(main)
