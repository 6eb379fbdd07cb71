"""Questions go on while a generation is built, moved to and left again: each is answered from exactly one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from ingest.generations.building import build
from ingest.generations.records import open_generations
from ingest.sources import Request
from retrieval.access import caller
from retrieval.database.generations import NONE
from retrieval.database.store import open_store
from retrieval.domain import Question, Retrieval
from retrieval.engine import Engine, open_engine
from retrieval.errors import EmbedderUnavailable, GenerationChanged, IndexMismatch
from retrieval.models.protocols import Embedder
from retrieval.readiness import readiness
from retrieval.reading import standing
from retrieval.searching import retrieve
from retrieval.settings import EmbedderSettings, SearchSettings
from retrieval.spending.budgets import Budget, list_budgets, set_budget
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder
from tests.generations import EVERYONE, MirroredEmbedder, added, configured, filled, moved, opened, rebuild_of

PATIENCE = 60


@asynccontextmanager
async def serving(dsn: str, load: Callable[[EmbedderSettings], Embedder] = opened) -> AsyncIterator[Engine]:
    """An engine configured for the first model, whose order of passages the vectors alone decide."""
    settings = replace(
        on_database(dsn), embedder=configured("words"), search=SearchSettings(dense_weight=1.0, shadow_rate=1.0)
    )
    async with open_engine(settings, load=load) as engine:
        yield engine


async def asked(engine: Engine, number: int) -> Retrieval:
    text = f"gauge number {number} shows pressure and heat valve {number}"
    return await retrieve(engine, Question(text=text, caller=caller("acme", []), limit=3))


@dataclass(slots=True)
class Asking:
    """Asks one question after another until told to stop."""

    engine: Engine
    right: int = 0
    wrong: list[object] = field(default_factory=list)
    stopped: bool = False

    async def run(self) -> None:
        number = 0
        while not self.stopped:
            number = (number + 1) % 12
            try:
                found = await asked(self.engine, number)
            except Exception as error:  # noqa: BLE001 - any failed question is what the test looks for
                self.wrong.append(error)
                continue
            uri = found.passages[0].passage.uri if found.passages else "nothing"
            if uri == f"acme/{number:03}.md" and not found.degraded:
                self.right += 1
            else:
                self.wrong.append((number, uri, found.degraded))


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)


@asynccontextmanager
async def under_load(engine: Engine) -> AsyncIterator[Asking]:
    """Four questions at a time; none may fail, and none be answered wrongly."""
    asking = Asking(engine)
    tasks = [asyncio.create_task(asking.run()) for _ in range(4)]
    try:
        yield asking
    finally:
        asking.stopped = True
        await asyncio.gather(*tasks)
    assert asking.wrong == []
    assert asking.right > 20


async def aside(step: Callable[..., object], *arguments: object) -> None:
    await asyncio.to_thread(partial(step, *arguments))


async def test_no_question_fails_while_the_index_moves(dsn: str, tmp_path: Path) -> None:
    """Built, moved to, left again, under questions all the time: taken for the other's, vectors would find what fits
    worst, and none does."""
    await aside(filled, dsn, tmp_path)
    async with serving(dsn) as engine, under_load(engine) as asking:
        rebuild = await asyncio.to_thread(added, dsn, "mirrored")
        await aside(build, rebuild)
        for target, model in ((2, MirroredEmbedder), (1, WordEmbedder)):
            generation = replace(rebuild.generation, generation_id=target)
            await aside(moved, rebuild_of(dsn, generation, model()))
            await until(lambda target=target: engine.store.generation_id == target)  # type: ignore[misc]
            assert not isinstance(engine.embedder, EmbedderUnavailable)
            before = asking.right
            await until(lambda before=before: asking.right > before + 20)  # type: ignore[misc]


async def test_writers_go_on_while_the_index_moves(dsn: str, tmp_path: Path) -> None:
    """Documents that change during the build and the move are the new generation's as they are in the end."""
    await aside(filled, dsn, tmp_path)
    docs = tmp_path / "acme"
    rebuild = await asyncio.to_thread(added, dsn, "mirrored")

    async def write() -> None:
        for at in range(8):
            (docs / "note.md").write_text(f"# Note\n\nThe {at}th note is about turbines.\n")
            model = WordEmbedder() if engine.store.generation_id == 1 else MirroredEmbedder()
            request = Request(paths=(docs / "note.md",), acl=EVERYONE)
            try:
                await aside(ingest_folder, dsn, model, "acme", request)
            except (GenerationChanged, IndexMismatch):
                continue

    async with serving(dsn) as engine, under_load(engine):
        writing = asyncio.create_task(write())
        await aside(moved, rebuild)
        await writing
        await until(lambda: engine.store.generation_id == 2)
    with open_generations(dsn) as generations:
        assert generations.pending(2).documents == 0
        assert generations.pending(1).documents <= 1


async def test_an_engine_that_cannot_load_the_model_stays_where_it_is(dsn: str, tmp_path: Path) -> None:
    """It answers from the generation before until that is dropped, which is said; once it can, from the new one."""
    await aside(filled, dsn, tmp_path)
    away = True

    def load(settings: EmbedderSettings) -> Embedder:
        if settings.model == "mirrored" and away:
            raise EmbedderUnavailable("not downloaded yet")
        return opened(settings)

    async with serving(dsn, load) as engine:
        await aside(moved, await asyncio.to_thread(added, dsn, "mirrored"))
        with pytest.raises(EmbedderUnavailable):
            await engine.follow()
        await until(lambda: engine.behind == "not downloaded yet")
        assert (await readiness(engine)).parts["embedder"].state == "unavailable"
        assert (await asked(engine, 3)).passages[0].passage.uri == "acme/003.md"
        with open_generations(dsn) as generations:
            generations.drop(1, force=True)
        with pytest.raises(GenerationChanged):
            await asked(engine, 3)
        away = False
        await until(lambda: not engine.behind)
        assert (await asked(engine, 3)).passages[0].passage.uri == "acme/003.md"


async def test_an_engine_that_starts_later_opens_the_model_on_record(dsn: str, tmp_path: Path) -> None:
    """After a move the database says which model answers; what is configured still names the one before."""
    await aside(filled, dsn, tmp_path)
    await aside(moved, await asyncio.to_thread(added, dsn, "mirrored"))
    async with serving(dsn) as engine:
        assert engine.store.generation_id == 2
        assert (await asked(engine, 5)).passages[0].passage.uri == "acme/005.md"


async def test_an_engine_that_was_there_before_the_index_opens_the_model_on_record(dsn: str, tmp_path: Path) -> None:
    """Nobody asked it anything until the index was made and had moved on."""
    async with serving(dsn) as engine:
        await aside(filled, dsn, tmp_path)
        await aside(moved, await asyncio.to_thread(added, dsn, "mirrored"))
        assert (await asked(engine, 5)).passages[0].passage.uri == "acme/005.md"
        assert engine.store.generation_id == 2


async def test_what_belongs_to_no_generation_outlives_them_all(dsn: str, tmp_path: Path) -> None:
    """Bookings and kept answers go on, in processes that were there before and in new ones, when the first is gone."""
    await aside(filled, dsn, tmp_path)
    async with serving(dsn) as engine:
        apart = engine.store.on(NONE)
        await aside(moved, await asyncio.to_thread(added, dsn, "mirrored"))
        with open_generations(dsn) as generations:
            generations.drop(1, force=True)
        async with open_store(dsn, engine.settings.database) as later:
            for store in (apart, later):
                assert await standing(store, caller("acme", []), []) == []
                await set_budget(store, "acme", Budget(principal="everyone", period="month", unit="tokens", amount=1))
                assert len(await list_budgets(store, "acme")) == 1


async def test_a_pinned_engine_stays(dsn: str, tmp_path: Path) -> None:
    """What an answer began with, it ends with: model, reranker and tables, wherever the engine goes meanwhile."""
    await aside(filled, dsn, tmp_path)
    rebuild = await asyncio.to_thread(added, dsn, "mirrored")
    async with serving(dsn) as engine:
        pinned = await engine.pinned()
        await aside(moved, rebuild)
        await engine.follow()
        assert (engine.store.generation_id, pinned.store.generation_id) == (2, 1)
        for each in (engine, pinned):
            assert (await asked(each, 7)).passages[0].passage.uri == "acme/007.md"


async def test_a_dropped_generation_is_never_taken_for_the_first(dsn: str, tmp_path: Path) -> None:
    """Search paths end in the first one's schema: who still reads the dropped one is told, and does not read there."""
    await aside(filled, dsn, tmp_path)
    rebuild = await asyncio.to_thread(added, dsn, "mirrored")
    async with serving(dsn) as engine:
        await aside(moved, rebuild)
        await engine.follow()
        pinned = await engine.pinned()
        first = replace(rebuild.generation, generation_id=1)
        await aside(moved, rebuild_of(dsn, first, WordEmbedder()))
        with open_generations(dsn) as generations:
            generations.drop(2, force=True)
        with pytest.raises(GenerationChanged):
            await asked(pinned, 1)
