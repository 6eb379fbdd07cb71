"""What questions notice of a rebuild of the index: `python -m evals.benchmarks.reembedding`.

Made-up texts, and made-up models that give each text a direction at once: what is measured is the database and the
service around it. With a real model beside it the processor is shared as well, which `--rate` is for. Two askers ask
all the time: at rest, while the generation is built, while the index moves there, and after it.
"""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer

from evals.benchmarks.made_up_documents import batches, made_up_documents
from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import Bench, markdown, open_bench, publish
from ingest.generations.building import Rebuild, build
from ingest.generations.moving import move
from ingest.generations.records import Generations, open_generations
from ingest.indexing import build_vector_index, claim_generation, tidy
from ingest.store import add_tenant, open_writer
from retrieval.access import caller, tenant_id
from retrieval.database.generations import FIRST
from retrieval.domain import Question
from retrieval.engine import Engine, open_engine
from retrieval.errors import PinciteError
from retrieval.models.protocols import Vectors
from retrieval.searching import retrieve
from retrieval.settings import DatabaseSettings, EmbedderSettings, RerankerSettings, Settings

_TENANT = tenant_id("bench")
_ASKERS = 2


class DirectionEmbedder:
    """Each text has a direction of its own, which the model's name decides."""

    dimensions = 384
    max_tokens = 120

    def __init__(self, name: str) -> None:
        self.name = name

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.array([self._direction(text) for text in texts], dtype=np.float32).reshape(-1, self.dimensions)

    async def embed_question(self, text: str) -> Vectors:
        return self._direction(text)

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing is held."""

    def _direction(self, text: str) -> Vectors:
        rng = np.random.default_rng(zlib.crc32(f"{self.name}{text}".encode()))
        found = rng.standard_normal(self.dimensions).astype(np.float32)
        unit: Vectors = found / np.linalg.norm(found)
        return unit


@dataclass(slots=True)
class _Phase:
    name: str
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0
    served_by: set[int] = field(default_factory=set)

    def row(self) -> list[object]:
        p50, p95 = np.percentile(self.milliseconds, [50, 95])
        return [
            self.name,
            f"{self.seconds:.1f} s",
            f"{len(self.milliseconds):,}",
            self.failed,
            f"{p50:.1f} ms",
            f"{p95:.1f} ms",
            ", ".join(map(str, sorted(self.served_by))),
        ]


def main(
    data_dir: Annotated[Path, typer.Option(help="Of the server; what is in its tables goes")],
    chunks: Annotated[int, typer.Option(min=1000)] = 50_000,
    rate: Annotated[float | None, typer.Option(help="Chunks a second the build may make")] = None,
    rest: Annotated[float, typer.Option(help="Seconds at rest that are measured, before and after")] = 20.0,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints what questions took in each phase, and how many failed."""
    bench = open_bench(data_dir)
    _load(bench, chunks)
    phases = asyncio.run(_run(bench, data_dir, chunks, rate or float("inf"), rest))
    columns = ["phase", "took", "questions", "failed", "p50", "p95", "answered by generation"]
    about = (
        f"{chunks:,} chunks of 384 dimensions with an HNSW index, {_ASKERS} askers all the time, a model that costs"
        f" nothing, rate {rate or 'unlimited'}."
    )
    body = f"{about}\n\n{markdown(columns, [phase.row() for phase in phases])}"
    publish("reembedding", "Questions while the index is built anew", body, record=record)


def _load(bench: Bench, chunks: int) -> None:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
    with open_generations(bench.dsn) as known:
        assert [each.generation_id for each in known.all()] in ([], [FIRST]), "use an empty data dir"
    model = DirectionEmbedder("a")
    generation = claim_generation(bench.dsn, model)
    add_tenant(bench.dsn, _TENANT)
    with open_writer(bench.dsn, _TENANT) as writer:
        for some in batches(made_up_documents(chunks, 10, model.dimensions)):
            writer.replace(some, FIRST)
    build_vector_index(bench.dsn, _TENANT, generation, 0)
    tidy(bench.dsn)


async def _run(bench: Bench, data_dir: Path, chunks: int, rate: float, rest: float) -> list[_Phase]:
    settings = Settings(
        database=DatabaseSettings(data_dir=data_dir, database_url=None),
        embedder=EmbedderSettings(model="a"),
        reranker=RerankerSettings(provider="none"),
    )
    phases: list[_Phase] = []
    questions = MadeUpWords(chunks).questions(500)
    async with open_engine(settings, load=lambda wanted: DirectionEmbedder(wanted.model)) as engine:
        with open_generations(bench.dsn) as known:
            rebuild = _begin(bench, known, settings, rate)
            phase = partial(_measured, engine, questions, phases)
            async with phase("at rest"):
                await asyncio.sleep(rest)
            async with phase("building"):
                await asyncio.to_thread(build, rebuild)
            async with phase("moving"):
                await asyncio.to_thread(move, known, rebuild)
                await _until(lambda: engine.store.generation_id == rebuild.generation.generation_id)
            async with phase("at rest again"):
                await asyncio.sleep(rest)
    return phases


def _begin(bench: Bench, known: Generations, settings: Settings, rate: float) -> Rebuild:
    model = DirectionEmbedder("b")
    known.record_opening({"model": "a"})
    generation = known.add(model, {"model": "b"})
    return Rebuild(dsn=bench.dsn, generation=generation, embedder=model, settings=settings.ingest, rate=rate)


@asynccontextmanager
async def _measured(engine: Engine, questions: Sequence[str], phases: list[_Phase], name: str) -> AsyncIterator[None]:
    """The phase while it lasts, under questions."""
    phase, begun = _Phase(name), time.perf_counter()
    askers = [asyncio.create_task(_ask(engine, questions[at:], phase)) for at in range(_ASKERS)]
    try:
        yield
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        phase.seconds = time.perf_counter() - begun
        phases.append(phase)


async def _ask(engine: Engine, questions: Sequence[str], phase: _Phase) -> None:
    at = 0
    while True:
        at += 1
        begun = time.perf_counter()
        try:
            pinned = await engine.pinned()
            asked = Question(text=questions[at % len(questions)], caller=caller(_TENANT, []), limit=8)
            found = await retrieve(pinned, asked)
            phase.failed += bool(found.degraded) or not found.passages
            phase.served_by.add(pinned.store.generation_id)
        except PinciteError:
            phase.failed += 1
        phase.milliseconds.append((time.perf_counter() - begun) * 1000)


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    typer.run(main)
