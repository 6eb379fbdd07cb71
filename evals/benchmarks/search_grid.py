"""The dense leg against its alternatives, over tenant sizes and visibilities: `python -m evals.benchmarks.search_grid`.

Three plans answer the same questions on the same server: the service's own choice, every visible chunk compared, and
one HNSW index over all tenants walked with iterative scan (pgvector's own answer to filters). Right answers come from
numpy, over every chunk the caller may see. Times are the server's CPU time: on shared machines wall time says little.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql
from rich.console import Console
from rich.table import Table

from evals.benchmarks.made_up_chunks import (
    CHUNKS_PER_DOCUMENT,
    DIMENSIONS,
    GROUPS,
    MadeUpTenant,
    document_id,
    load,
    made_up_tenants,
)
from evals.benchmarks.measuring import RESULTS, Bench, cpu_ms, markdown, open_bench, publish, server_pid
from evals.benchmarks.plotting import plot
from ingest.indexing import build_vector_index
from retrieval.access import Caller, caller
from retrieval.database.generations import Generation
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store, open_store
from retrieval.domain import ChunkKey
from retrieval.models.protocols import Vectors
from retrieval.search.legs import Hit, dense_leg
from retrieval.settings import IngestSettings, SearchSettings

LIMIT = 10
_RANKS = (1, 2, 3, 5, 10, 30, 100, 1000)
_TIE = 1e-3
"""Halfvec inner products are rounded: a hit this close to the tenth best is as good."""

_RIGHT, _SLOWER, _NOISE_MS = 0.99, 1.2, 0.5
"""A plan is a rival where it finds so much; slower is by more than a fifth, and by more than what runs differ in."""

TITLES = {
    "service": "the service's choice",
    "exact": "every visible chunk compared",
    "one hnsw": "one HNSW for all tenants, iterative scan (relaxed, 100,000 tuples, 16 × work_mem), ef_search 200",
}

Plan = Callable[[Store, Caller, Vectors], Awaitable[Sequence[Hit]]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One tenant, one group, one plan. Times are CPU milliseconds of the server, `recalls` of the ten best."""

    plan: str
    chunks: int
    visible: int
    group: str
    recalls: tuple[float, ...]
    short: int
    cpu_ms: tuple[float, ...]


_ONE_HNSW = TenantStatement(
    sql.SQL("""
SELECT nearest.document_id, nearest.ordinal, -nearest.distance AS score
FROM (
    SELECT every.document_id, every.ordinal,
           every.embedding::halfvec({dimensions}) <#> %(embedding)s::halfvec({dimensions}) AS distance
    FROM every_embedding AS every
    JOIN documents ON documents.tenant_id = every.tenant_id AND documents.document_id = every.document_id
    WHERE every.tenant_id = %(tenant_id)s AND documents.tenant_id = %(tenant_id)s
      AND documents.acl && %(principals)s::text[]
    ORDER BY distance LIMIT %(limit)s
) AS nearest
ORDER BY nearest.distance
""")
)


async def _service(store: Store, who: Caller, embedding: Vectors) -> Sequence[Hit]:
    return (await dense_leg(store, who, embedding, SearchSettings(candidates=LIMIT))).hits


async def _exact(store: Store, who: Caller, embedding: Vectors) -> Sequence[Hit]:
    return (await dense_leg(store, who, embedding, SearchSettings(candidates=LIMIT, exact_below=10**9))).hits


async def _one_hnsw(store: Store, who: Caller, embedding: Vectors) -> Sequence[Hit]:
    async with store.session(who) as session:
        await session.set_local(
            hnsw__iterative_scan="relaxed_order",
            hnsw__ef_search=200,
            hnsw__max_scan_tuples=100_000,
            hnsw__scan_mem_multiplier=16,
            enable_sort="off",
        )
        return await session.rows(Hit, _ONE_HNSW.sized(DIMENSIONS), embedding=HalfVector(embedding), limit=LIMIT)


PLANS: dict[str, Plan] = {"service": _service, "exact": _exact, "one hnsw": _one_hnsw}


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up index; made when it is not there")],
    chunks: Annotated[int, typer.Option(min=1000)] = 300_000,
    tenants: Annotated[int, typer.Option(min=1)] = 1000,
    questions: Annotated[int, typer.Option(min=1)] = 20,
    plans: Annotated[str, typer.Option(help="Which of them, with commas between")] = ",".join(PLANS),
    result: Annotated[Path | None, typer.Option("--json", help="Every cell's values")] = None,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints recall, short results and CPU time of each plan."""
    made_up, bench = made_up_tenants(chunks, tenants), open_bench(data_dir)
    chosen = plans.split(",")
    prepare(bench, made_up)
    if "one hnsw" in chosen:
        _build_one_hnsw(bench)
    asked = [made_up[rank - 1] for rank in _RANKS if rank <= tenants]
    cells = asyncio.run(measure(bench, asked, questions, chosen))
    _print(cells, chunks, tenants, record=record)
    if result is not None:
        result.write_text(json.dumps([asdict(cell) for cell in cells]))


def prepare(bench: Bench, made_up: Sequence[MadeUpTenant], index_up_to: int = 10**9) -> None:
    """Loads the made-up tenants, unless they are there, and indexes the large ones among the first `index_up_to`."""
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        register_vector(connection)
        if connection.execute("SELECT 1 FROM tenants LIMIT 1").fetchone() is None:
            connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s)", [DIMENSIONS])
            with connection.transaction():
                for tenant in made_up:
                    load(connection, tenant)
            connection.execute("VACUUM ANALYZE")
    profile = Generation(embedder="made-up", dimensions=DIMENSIONS)
    for tenant in made_up[:index_up_to]:
        build_vector_index(bench.dsn, tenant.tenant, profile, IngestSettings().index_from)


def _build_one_hnsw(bench: Bench) -> None:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('every_embedding_hnsw')").fetchone() != (None,):
            return
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("DROP TABLE IF EXISTS every_embedding")
        connection.execute("CREATE TABLE every_embedding AS SELECT * FROM embeddings")
        connection.execute("ALTER TABLE every_embedding ADD PRIMARY KEY (tenant_id, document_id, ordinal)")
        connection.execute("GRANT SELECT ON every_embedding TO pincite_app")
        connection.execute(
            "CREATE INDEX every_embedding_hnsw ON every_embedding"
            f" USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_ip_ops) WITH (m = 16, ef_construction = 200)"
        )
        connection.execute("VACUUM ANALYZE every_embedding")


async def measure(
    bench: Bench, tenants: Sequence[MadeUpTenant], questions: int, plans: Sequence[str], groups: Sequence[str] = GROUPS
) -> list[Cell]:
    """Every tenant, every group that sees something, every plan."""
    async with open_store(bench.dsn, bench.settings) as store:
        pid = await server_pid(store)
        return [
            cell
            for tenant in tenants
            for group in groups
            async for cell in _cells(store, pid, tenant, group, tenant.questions(questions), plans)
        ]


async def _cells(
    store: Store, pid: int, tenant: MadeUpTenant, group: str, asked: Vectors, plans: Sequence[str]
) -> AsyncIterator[Cell]:
    seen = np.repeat(tenant.allows(group), CHUNKS_PER_DOCUMENT)[: tenant.chunk_count]
    if not seen.any():
        return
    scores = tenant.vectors[seen] @ asked.T
    place = dict(zip(_keys(tenant, np.flatnonzero(seen)), range(len(scores)), strict=True))
    who = caller(tenant.tenant, (group,))
    for name in plans:
        plan = PLANS[name]
        recalls, short, cpu = list[float](), 0, list[float]()
        await plan(store, who, asked[0])  # the pages it needs are in memory from here on, for every plan alike
        for at, embedding in enumerate(asked):
            begun = cpu_ms(pid)
            hits = await plan(store, who, embedding)
            cpu.append(cpu_ms(pid) - begun)
            recalls.append(_recall(scores[:, at], [place[hit.key] for hit in hits]))
            short += len(hits) < min(LIMIT, len(scores))
        yield Cell(
            plan=name,
            chunks=tenant.chunk_count,
            visible=int(seen.sum()),
            group=group,
            recalls=tuple(recalls),
            short=short,
            cpu_ms=tuple(cpu),
        )


def _keys(tenant: MadeUpTenant, chunks: NDArray[np.int64]) -> Iterator[ChunkKey]:
    for at in chunks:
        document, ordinal = divmod(int(at), CHUNKS_PER_DOCUMENT)
        yield ChunkKey(document_id=document_id(tenant, document), ordinal=ordinal)


def _recall(scores: NDArray[np.float32], found: Sequence[int]) -> float:
    wanted = min(LIMIT, len(scores))
    least = np.partition(scores, -wanted)[-wanted]
    return float(np.sum(scores[list(found)] >= least - _TIE)) / wanted


def _print(cells: Sequence[Cell], chunks: int, tenants: int, *, record: bool) -> None:
    rows: list[list[str]] = []
    for plan in dict.fromkeys(cell.plan for cell in cells):
        mine = [cell for cell in cells if cell.plan == plan]
        recalls = [np.mean(cell.recalls) for cell in mine]
        cpu = np.concatenate([cell.cpu_ms for cell in mine])
        rows.append(
            [
                TITLES.get(plan, plan),
                f"{np.mean(recalls):.4f}",
                f"{min(recalls):.3f}",
                f"{sum(cell.short for cell in mine)} of {len(cpu)}",
                f"{np.percentile(cpu, 50):.1f} ms",
                f"{np.percentile(cpu, 95):.1f} ms",
            ]
        )
    table = markdown(["plan", "recall@10, mean", "worst cell", "short results", "cpu p50", "cpu p95"], rows)
    slower = "\n".join(_slower(cells)) or "In no cell."
    about = (
        f"{chunks:,} made-up chunks of {DIMENSIONS} dimensions, {tenants:,} tenants of Zipf sizes, {len(GROUPS)} groups"
    )
    body = (
        f"{about} that see 0.1 to 100 %, half of them by topic; {len(cells) // len(rows)} cells"
        f" of {len(cells[0].recalls)} questions.\n\n{table}\n\n"
        f"![CPU time by visible chunks](search.svg)\n\n"
        f"Slower than the better of the others (at recall ≥ {_RIGHT}) by more than a fifth, by cell:\n\n{slower}"
    )
    publish("search", "The search by meaning against its alternatives", body, record=record)
    _print_cells(cells)
    if record:
        points = {
            plan: [(cell.visible, float(np.median(cell.cpu_ms))) for cell in cells if cell.plan == plan]
            for plan in dict.fromkeys(cell.plan for cell in cells)
        }
        plot(RESULTS.with_name("search.svg"), "Median CPU time of a search", "visible chunks", "ms", points)


def _slower(cells: Sequence[Cell]) -> Iterator[str]:
    """The cells in which the service's choice is dearer than the better of the others that finds the right chunks."""
    for chunks, group in dict.fromkeys((cell.chunks, cell.group) for cell in cells):
        medians = {
            cell.plan: float(np.median(cell.cpu_ms))
            for cell in cells
            if (cell.chunks, cell.group) == (chunks, group) and np.mean(cell.recalls) >= _RIGHT
        }
        mine = medians.pop("service", 0.0)
        best = min(medians.values(), default=mine)
        if mine > _SLOWER * best and mine - best > _NOISE_MS:
            yield f"- {chunks:,} chunks, {group}: {mine:.1f} ms against {best:.1f} ms"


def _print_cells(cells: Sequence[Cell]) -> None:
    table = Table(title="median CPU ms (mean recall) by cell")
    for column in ("chunks", "group", "visible", *dict.fromkeys(cell.plan for cell in cells)):
        table.add_column(column, justify="right")
    for chunks, group in dict.fromkeys((cell.chunks, cell.group) for cell in cells):
        row = [cell for cell in cells if (cell.chunks, cell.group) == (chunks, group)]
        figures = (f"{np.median(cell.cpu_ms):.1f} ({np.mean(cell.recalls):.3f})" for cell in row)
        table.add_row(str(chunks), group, str(row[0].visible), *figures)
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
