"""What the writer makes of vectors that are given, against raw COPY: `python -m evals.benchmarks.writing`.

Raw COPY BINARY of text and vector into a table of these columns is the floor: no second wall, no words, no permissions,
no counts. The words have a column of their own, because no COPY computes them. All of it in one run, in turns.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from evals.benchmarks.made_up_documents import batches, made_up_documents
from evals.benchmarks.measuring import markdown, open_bench, publish
from ingest.store import EmbeddedDocument, TenantWriter, add_tenant, build_vector_index, open_writer
from retrieval.access import tenant_id
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.engine import IndexProfile

DIMENSIONS = 384
_TENANT = tenant_id("bench")
_PROFILE = IndexProfile(embedder="made-up", dimensions=DIMENSIONS)
_OF_WORDS = tuple(tenant_statement("ingest", name) for name in ("add_terms", "count_terms"))

Connection = psycopg.Connection[tuple[object, ...]]


class _TimedWriter(TenantWriter):
    """Keeps apart what the words cost."""

    words_seconds = 0.0

    def _run(self, statement: TenantStatement, **parameters: object) -> int:
        begun = time.perf_counter()
        try:
            return super()._run(statement, **parameters)
        finally:
            if statement in _OF_WORDS:
                self.words_seconds += time.perf_counter() - begun


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Chunks per second: the writer, the writer but for the words, and raw COPY."""

    writer: float
    without_words: float
    copy: float

    def row(self, name: str) -> list[object]:
        """For the table."""
        return [
            name,
            *(f"{rate:,.0f}" for rate in (self.writer, self.without_words, self.copy)),
            f"{self.writer / self.copy:.2f}",
            f"{self.without_words / self.copy:.2f}",
        ]


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
            rows.append(_rates(bench.dsn, connection, documents[:first]).row(f"documents of {size}, no index"))
            build_vector_index(bench.dsn, _TENANT, _PROFILE, 0)
            connection.execute(_RAW_INDEX)
            rows.append(_rates(bench.dsn, connection, documents[first:]).row(f"documents of {size}, index in place"))
    columns = [
        "chunks per second",
        "writer",
        "but for the words",
        "COPY BINARY",
        "writer / COPY",
        "but for the words / COPY",
    ]
    about = (
        f"{chunks:,} made-up chunks, their vectors of {DIMENSIONS} given; {indexed_chunks:,} more with an HNSW index."
    )
    publish("writing", "Writing against raw COPY BINARY", f"{about}\n\n{markdown(columns, rows)}", record=record)


def _empty(connection: Connection) -> None:
    connection.execute("TRUNCATE tenants CASCADE")
    connection.execute("INSERT INTO index_profile VALUES (1, 'made-up', %s) ON CONFLICT DO NOTHING", [DIMENSIONS])
    connection.execute("DROP TABLE IF EXISTS raw_chunks")
    connection.execute(
        "CREATE TABLE raw_chunks (tenant_id text, uri text, ordinal integer, text text, embedding halfvec)"
    )
    connection.execute("ALTER TABLE raw_chunks ALTER COLUMN embedding SET STORAGE PLAIN")


def _rates(dsn: str, connection: Connection, documents: Sequence[EmbeddedDocument]) -> Rates:
    count = sum(len(made.chunks) for made in documents)
    with _open(dsn) as writer:
        whole = _timed(lambda: _write(writer, documents))
        words = writer.words_seconds
    copy = _timed(lambda: _copy(connection, documents))
    return Rates(writer=count / whole, without_words=count / (whole - words), copy=count / copy)


@contextmanager
def _open(dsn: str) -> Iterator[_TimedWriter]:
    with open_writer(dsn, _TENANT) as writer:
        yield _TimedWriter(writer._connection, _TENANT)  # noqa: SLF001 - the same connection, with a clock


def _write(writer: TenantWriter, documents: Sequence[EmbeddedDocument]) -> None:
    for some in batches(documents):
        writer.replace(some)


def _copy(connection: Connection, documents: Sequence[EmbeddedDocument]) -> None:
    with connection.cursor() as cursor, cursor.copy(_RAW) as copy:
        copy.set_types(("text", "text", "int4", "text", "halfvec"))
        for made in documents:
            for chunk, vector in zip(made.chunks, made.vectors, strict=True):
                copy.write_row((_TENANT, made.parsed.source.uri, chunk.ordinal, chunk.text, HalfVector(vector)))


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


_RAW = "COPY raw_chunks (tenant_id, uri, ordinal, text, embedding) FROM STDIN WITH (FORMAT binary)"
_RAW_INDEX = (
    f"CREATE INDEX ON raw_chunks USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_ip_ops)"
    " WITH (m = 16, ef_construction = 200)"
)

if __name__ == "__main__":
    typer.run(main)
