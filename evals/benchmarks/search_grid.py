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
from ingest.store import build_vector_index
from retrieval.access import Caller, caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store, open_store
from retrieval.domain import ChunkKey
from retrieval.engine import IndexProfile, prepare_database
from retrieval.models.protocols import Vectors
from retrieval.search.legs import Hit, dense_leg
from retrieval.settings import DatabaseSettings, SearchSettings, Settings

LIMIT = 10
_RANKS = (1, 2, 3, 5, 10, 30, 100, 1000)
_TIE = 1e-3
"""Halfvec inner products are rounded: a hit this close to the tenth best is as good."""

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
) -> None:
    """Prints recall, short results and CPU time of each plan."""
    made_up = made_up_tenants(chunks, tenants)
    database = DatabaseSettings(data_dir=data_dir, database_url=None, database_pool_size=1, database_timeout=60)
    settings = Settings(database=database)
    dsn = prepare_database(settings)
    prepare(dsn, made_up, settings.ingest.index_from)
    ranks = [rank for rank in _RANKS if rank <= tenants]
    cells = asyncio.run(_measure(dsn, database, [made_up[rank - 1] for rank in ranks], questions, plans.split(",")))
    _print(cells)
    if result is not None:
        result.write_text(json.dumps([asdict(cell) for cell in cells]))


def prepare(dsn: str, made_up: Sequence[MadeUpTenant], index_from: int) -> None:
    """Loads the made-up tenants, unless they are there, and builds both kinds of index."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        if connection.execute("SELECT 1 FROM tenants LIMIT 1").fetchone() is None:
            connection.execute("INSERT INTO index_profile VALUES (1, 'made-up', %s)", [DIMENSIONS])
            with connection.transaction():
                for tenant in made_up:
                    load(connection, tenant)
        profile = IndexProfile(embedder="made-up", dimensions=DIMENSIONS)
        for tenant in made_up:
            if tenant.chunk_count > index_from:
                build_vector_index(dsn, tenant.tenant, profile, index_from)
        _build_one_hnsw(connection)


def _build_one_hnsw(connection: psycopg.Connection[tuple[object, ...]]) -> None:
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
    connection.execute("VACUUM ANALYZE")


async def _measure(
    dsn: str, database: DatabaseSettings, tenants: Sequence[MadeUpTenant], questions: int, plans: Sequence[str]
) -> list[Cell]:
    cells: list[Cell] = []
    async with open_store(dsn, database) as store:
        async with store._pool.connection() as connection:  # noqa: SLF001 - the one connection's server process
            pid = connection.info.backend_pid
        for tenant in tenants:
            asked = tenant.questions(questions)
            for group in GROUPS:
                cells += [cell async for cell in _cells(store, pid, tenant, group, asked, plans)]
    return cells


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
            begun = _cpu_ms(pid)
            hits = await plan(store, who, embedding)
            cpu.append(_cpu_ms(pid) - begun)
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


def _cpu_ms(pid: int) -> float:
    """CPU time of a process so far, in milliseconds, from Linux's scheduler statistics (nanoseconds)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6


def _print(cells: Sequence[Cell]) -> None:
    table = Table(title="dense leg, recall@10 and CPU time of the server")
    for column in ("plan", "mean recall", "worst cell", "short", "cpu p50", "cpu p95"):
        table.add_column(column, justify="left" if column == "plan" else "right")
    for plan in dict.fromkeys(cell.plan for cell in cells):
        mine = [cell for cell in cells if cell.plan == plan]
        recalls = [np.mean(cell.recalls) for cell in mine]
        cpu = np.concatenate([cell.cpu_ms for cell in mine])
        short = sum(cell.short for cell in mine)
        table.add_row(
            plan,
            f"{np.mean(recalls):.4f}",
            f"{min(recalls):.3f}",
            f"{short} of {len(cpu)}",
            f"{np.percentile(cpu, 50):.1f} ms",
            f"{np.percentile(cpu, 95):.1f} ms",
        )
    Console().print(table)
    _print_cells(cells)


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
