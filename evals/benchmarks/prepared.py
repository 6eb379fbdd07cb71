"""What a search costs beside its SQL: `python -m evals.benchmarks.prepared`.

The service's search with a given vector, as `retrieve()` makes it (words, meaning, fusion: three short sessions),
against the very statements that it runs, with the same parameters, as prepared statements on one open connection that
has its role, its tenant and its settings already. In turns; wall time, and the CPU time of both sides, which on a
machine without neighbours is most of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer
from pgvector.psycopg import register_vector_async
from psycopg import sql

from evals.benchmarks.made_up_documents import batches, made_up_documents, made_up_vectors
from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import Bench, cpu_ms, markdown, open_bench, publish, server_pid
from ingest.indexing import build_vector_index, tidy
from ingest.store import add_tenant, open_writer
from retrieval.access import EVERYONE, Caller, caller
from retrieval.database.generations import FIRST, Generation
from retrieval.database.statements import TenantStatement
from retrieval.database.store import CallerSession, Row, Store, open_store, set_local, tenant_identity
from retrieval.models.protocols import Vectors
from retrieval.search.fusion import fuse
from retrieval.search.legs import dense_leg, lexical_leg
from retrieval.settings import SearchSettings

DIMENSIONS = 384
_WHO = caller("bench", {EVERYONE})
_SETTINGS = SearchSettings()
_TURNS = 5
_DEPTH = 40
"""Passages that `retrieve()` reads with the default limit and reranker."""


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up index; made when it is not there")],
    chunks: Annotated[int, typer.Option(min=1000)] = 20_000,
    questions: Annotated[int, typer.Option(min=1)] = 100,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints both times and their ratio."""
    bench = open_bench(data_dir)
    _load(bench, chunks)
    asked = MadeUpWords(chunks).questions(questions)
    questions_with_vectors = list(zip(asked, made_up_vectors(7, questions, DIMENSIONS), strict=True))
    service, plain, statements = asyncio.run(_measure(bench, questions_with_vectors))
    ours, theirs = (np.median([(each.wall_ms, each.cpu_ms) for each in some], axis=0) for some in (service, plain))
    rows = [
        ["the service", *(f"{ms:.1f} ms" for ms in ours)],
        ["its statements, prepared", *(f"{ms:.1f} ms" for ms in theirs)],
        ["ratio", *(f"{ratio:.2f}" for ratio in ours / theirs)],
    ]
    table = markdown(["search", "wall p50", "cpu of client and server p50"], rows)
    about = f"{chunks:,} made-up chunks, {questions} questions with given vectors, {statements:.1f} statements each."
    publish("prepared", "A search against its own statements, prepared", f"{about}\n\n{table}", record=record)


def _load(bench: Bench, chunks: int) -> None:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone() is not None:
            return
        connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s)", [DIMENSIONS])
    add_tenant(bench.dsn, _WHO.tenant)
    with open_writer(bench.dsn, _WHO.tenant) as writer:
        for some in batches(made_up_documents(chunks, 10, DIMENSIONS)):
            writer.replace(some, FIRST)
    build_vector_index(bench.dsn, _WHO.tenant, Generation(embedder="made-up", dimensions=DIMENSIONS), 0)
    tidy(bench.dsn)


@dataclass(frozen=True, kw_only=True)
class _Spent:
    wall_ms: float
    cpu_ms: float


class _RecordingSession(CallerSession):
    def __init__(self, store: "_RecordingStore", session: CallerSession) -> None:
        super().__init__(session._connection, _WHO)  # noqa: SLF001 - the same connection, listened to
        self._store = store

    async def rows(self, row: type[Row], statement: TenantStatement, **parameters: object) -> list[Row]:
        self._store.ran.append((statement.query, self._identity | parameters))
        return await super().rows(row, statement, **parameters)

    async def set_local(self, **settings: int | str) -> None:
        self._store.settings |= {name.replace("__", "."): value for name, value in settings.items()}
        await super().set_local(**settings)


class _RecordingStore(Store):
    """A store that keeps what it runs."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._pool, store._settings)  # noqa: SLF001 - the same pool
        self.ran: list[tuple[sql.SQL | sql.Composed, dict[str, object]]] = []
        self.settings: dict[str, int | str] = {}

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[CallerSession]:
        async with super().session(caller) as session:
            yield _RecordingSession(self, session)


async def _measure(bench: Bench, questions: Sequence[tuple[str, Vectors]]) -> tuple[list[_Spent], list[_Spent], float]:
    service, plain, statements = list[_Spent](), list[_Spent](), list[int]()
    connect = psycopg.AsyncConnection.connect(bench.dsn, autocommit=True, prepare_threshold=0)
    async with open_store(bench.dsn, bench.settings) as store, await connect as connection, connection.transaction():
        pids = await server_pid(store), connection.info.backend_pid
        await register_vector_async(connection)
        for statement in tenant_identity(_WHO.tenant, bench.settings.database_timeout):
            await connection.execute(statement)
        for text, vector in questions:
            recording = _RecordingStore(store)
            await _search(recording, text, vector)
            for name, value in recording.settings.items():
                await connection.execute(set_local(name, value))
            await _again(connection, recording)  # prepared, and in memory, from here on
            for _ in range(_TURNS):
                service.append(await _spent(pids[0], _search(store, text, vector)))
                plain.append(await _spent(pids[1], _again(connection, recording)))
            statements.append(len(recording.ran))
    return service, plain, float(np.mean(statements))


async def _spent(pid: int, work: Awaitable[None]) -> _Spent:
    wall, cpu = time.perf_counter(), time.process_time() * 1000 + cpu_ms(pid)
    await work
    return _Spent(wall_ms=(time.perf_counter() - wall) * 1000, cpu_ms=time.process_time() * 1000 + cpu_ms(pid) - cpu)


async def _search(store: Store, text: str, vector: Vectors) -> None:
    lexical = await lexical_leg(store, _WHO, text, _SETTINGS)
    dense = await dense_leg(store, _WHO, vector, _SETTINGS)
    await fuse(store, _WHO, vector, dense.hits, lexical, _SETTINGS.dense_weight, depth=_DEPTH)


async def _again(connection: psycopg.AsyncConnection[tuple[object, ...]], recording: _RecordingStore) -> None:
    for query, parameters in recording.ran:
        await (await connection.execute(query, parameters)).fetchall()


if __name__ == "__main__":
    typer.run(main)
