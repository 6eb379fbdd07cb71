"""What it costs to take a group's permission away: `python -m evals.benchmarks.revocation`.

1,000 chunks lose a group, once as a hundred documents of ten and once as one document, through the product's own
writer, in a tenant with a vector index. Counted are milliseconds, what the group still finds, and the index's pages.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg import sql

from evals.benchmarks.made_up_documents import batches, made_up_documents
from evals.benchmarks.measuring import Bench, cpu_ms, markdown, open_bench, publish
from ingest.indexing import build_vector_index, tidy
from ingest.store import EmbeddedDocument, add_tenant, open_writer
from retrieval.access import caller, tenant_id
from retrieval.database.generations import FIRST, Generation
from retrieval.database.store import open_store
from retrieval.search.legs import dense_leg
from retrieval.search.planning import vector_index_name
from retrieval.settings import SearchSettings

DIMENSIONS = 384
_TENANT = tenant_id("bench")
_GROUP, _OWNER = "group:leaving", "group:owner"
_ACL = frozenset({_GROUP, _OWNER})


def main(
    data_dir: Annotated[Path, typer.Option(help="Of the server; what is in its tables goes")],
    chunks: Annotated[int, typer.Option(min=3000)] = 20_000,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints milliseconds for each way of having 1,000 chunks."""
    bench = open_bench(data_dir)
    groups = _load(bench, chunks)
    rows = [_revoke(bench, name, documents) for name, documents in groups.items()]
    columns = ["1,000 chunks as", "wall", "cpu", "found by the group before", "after", "index pages before", "after"]
    about = f"A tenant of {chunks:,} chunks with an HNSW index."
    publish("revocation", "A group loses 1,000 chunks", f"{about}\n\n{markdown(columns, rows)}", record=record)


def _load(bench: Bench, chunks: int) -> dict[str, Sequence[EmbeddedDocument]]:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s) ON CONFLICT DO NOTHING", [DIMENSIONS])
    add_tenant(bench.dsn, _TENANT)
    small = list(made_up_documents(chunks - 1000, 10, DIMENSIONS, _ACL))
    [large] = made_up_documents(1000, 1000, DIMENSIONS, _ACL, "large")
    with open_writer(bench.dsn, _TENANT) as writer:
        for some in batches((*small, large)):
            writer.replace(some, FIRST)
    build_vector_index(bench.dsn, _TENANT, Generation(embedder="made-up", dimensions=DIMENSIONS), 0)
    tidy(bench.dsn)
    return {"100 documents of 10": small[:100], "one document": [large]}


def _revoke(bench: Bench, name: str, documents: Sequence[EmbeddedDocument]) -> list[object]:
    found_before, pages_before = asyncio.run(_found(bench, documents)), _pages(bench.dsn)
    with open_writer(bench.dsn, _TENANT) as writer:
        writer.known_documents()  # the connection has been used before, as a run's has
        pid = writer._connection.info.backend_pid  # noqa: SLF001 - the server's process, for its clock
        begun, busy = time.perf_counter(), cpu_ms(pid)
        writer.describe([replace(made.parsed.source, acl=frozenset({_OWNER})) for made in documents])
        spent, busy = (time.perf_counter() - begun) * 1000, cpu_ms(pid) - busy
    found, pages = asyncio.run(_found(bench, documents)), _pages(bench.dsn)
    return [name, f"{spent:.1f} ms", f"{busy:.1f} ms", found_before, found, pages_before, pages]


async def _found(bench: Bench, documents: Sequence[EmbeddedDocument]) -> int:
    """How many of these documents' chunks the group finds, asking with a vector of theirs."""
    async with open_store(bench.dsn, bench.settings) as store:
        hits = (await dense_leg(store, caller(_TENANT, {_GROUP}), documents[0].vectors[0], SearchSettings())).hits
    ids = {row[0] for row in _ids(bench.dsn, [made.parsed.source.uri for made in documents])}
    return sum(hit.document_id in ids for hit in hits)


def _ids(dsn: str, uris: Sequence[str]) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT document_id FROM documents WHERE uri = ANY (%s)", [uris]).fetchall()


def _pages(dsn: str) -> int:
    statement = sql.SQL("SELECT pg_relation_size({}) / 8192").format(sql.Literal(vector_index_name(_TENANT)))
    with psycopg.connect(dsn) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    typer.run(main)
