"""Kept answers: found again by who may have them, gone with what they cite, never where they would not do."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.sources import Request
from ingest.store import open_writer
from retrieval.access import caller, tenant_id
from retrieval.answering import answer
from retrieval.caching.inquiry import inquiry_of
from retrieval.caching.shelf import Shelf
from retrieval.domain import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    CitationFound,
    PassagesFound,
    Question,
    ResponseFormat,
    TextDelta,
    Tool,
    Utterance,
)
from retrieval.engine import Engine, open_engine
from retrieval.filters import OneOf
from retrieval.searching import retrieve
from retrieval.settings import CacheSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

PUMP = "The red pump needs oil every week. Its filter lasts ninety days."
OIL = "How often does the red pump need oil?"
GOOD = 'It "needs oil every week" [1].'


@pytest.fixture
def llm() -> Iterator[ScriptedLlm]:
    with scripted_llm(scripted.answer(GOOD)) as server:
        yield server


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for dsn in new_database(server):
        put(dsn, tmp_path_factory.mktemp("pumps"), "pump.md", PUMP)
        yield dsn


@pytest.fixture
def pumps(filled: str) -> Iterator[str]:
    """A document on a red pump, seen by engineers and by sales, as it was at first, and nothing kept."""
    yield filled
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM cached_answers")
        connection.execute("UPDATE documents SET content = %s, version = 1, acl = '{group:eng,group:sales}'", [PUMP])


@pytest.fixture
def own(dsn: str, tmp_path: Path) -> str:
    """The same in a database of the test's own."""
    put(dsn, tmp_path, "pump.md", PUMP)
    return dsn


def put(dsn: str, folder: Path, name: str, text: str, *principals: str) -> None:
    """Ingests one document as `docs/name`."""
    place = folder / "docs"
    place.mkdir(exist_ok=True)
    for file in place.iterdir():
        file.unlink()
    (place / name).write_text(text)
    acl = frozenset(principals or ("group:eng", "group:sales"))
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(place,), acl=acl))


@asynccontextmanager
async def opened(dsn: str, llm: ScriptedLlm, **cache: Any) -> AsyncIterator[Engine]:
    settings = replace(on_database(dsn), llm=llm.settings(), cache=CacheSettings(**cache))
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        yield engine


def asked(text: str = OIL, *principals: str, **more: Any) -> Question:
    return Question(text=text, caller=caller("acme", principals or ("group:eng",)), limit=5, **more)


async def told(engine: Engine, question: Question) -> list[AnswerEvent]:
    return [event async for event in answer(engine, question)]


async def end_of(engine: Engine, question: Question | None = None) -> AnswerFinished:
    last = (await told(engine, question or asked()))[-1]
    assert isinstance(last, AnswerFinished), last
    return last


def rows(dsn: str, table: str = "cached_answers") -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of ours
    assert row is not None
    return int(row[0])


async def test_the_same_question_is_written_once(pumps: str, llm: ScriptedLlm) -> None:
    """A second asker of the same gets the same text and citations as events, and nothing is owed for it."""
    async with opened(pumps, llm) as engine:
        first = await end_of(engine)
        events = await told(engine, asked("How often does  the red pump need oil ?"))
    second = events[-1]
    assert isinstance(second, AnswerFinished)
    assert [type(event) for event in events] == [PassagesFound, TextDelta, CitationFound, AnswerFinished]
    assert (first.cache, second.cache) == ("miss", "exact")
    assert (second.text, second.citations, second.answered_by) == (first.text, first.citations, first.answered_by)
    assert second.usage is None
    assert second.served is not None
    assert second.served.attempts == 0
    assert len(llm.requests) == 1
    assert rows(pumps, "answer_claims") == 0


async def test_nearly_the_same_question_is_answered_too(pumps: str, llm: ScriptedLlm) -> None:
    """Where the embeddings are near enough and the passages the same; not where the wording asks for something else."""
    async with opened(pumps, llm) as engine:
        await end_of(engine)
        assert (await end_of(engine, asked("how often does the red pump need oil"))).cache == "semantic"
        assert (await end_of(engine, asked("How often does the red pump not need oil?"))).cache == "miss"
    async with opened(pumps, llm, semantic_ttl=0) as engine:
        assert (await end_of(engine, asked("HOW often does the red pump need oil"))).cache == "miss"


@pytest.mark.parametrize(
    "other",
    [
        asked(OIL, "group:sales"),
        asked(OIL, "group:eng", "group:sales"),
        asked(OIL, filter=OneOf(field="title", values=("pump",))),
        replace(asked(), limit=4),
    ],
    ids=["other principals", "more principals", "a filter", "fewer passages"],
)
async def test_another_asker_or_another_request_is_a_miss(pumps: str, llm: ScriptedLlm, other: Question) -> None:
    """A kept answer is found by the very principals and parameters it was written for, though others may see it all."""
    async with opened(pumps, llm) as engine:
        await end_of(engine)
        assert (await end_of(engine, other)).cache != "exact"
        assert (await end_of(engine)).cache == "exact"


async def test_another_model_is_a_miss(pumps: str, llm: ScriptedLlm) -> None:
    """What another model wrote, or this one with other settings, is not found."""
    async with opened(pumps, llm) as engine:
        await end_of(engine)
    for changed in ({"model": "other"}, {"max_output_tokens": 99}):
        settings = replace(on_database(pumps), llm=llm.settings(**changed), cache=CacheSettings())
        async with open_engine(settings, embedder=WordEmbedder()) as engine:
            assert (await end_of(engine)).cache == "miss"


@pytest.mark.parametrize(
    ("script", "question"),
    [
        (scripted.answer("The pump was built by Elvis [7]."), asked()),
        (scripted.answer("I do not know."), asked()),
        (scripted.status(500), asked()),
        (scripted.cut_midway('It "needs oil every week" [1]. And'), asked()),
        (scripted.answer(GOOD), asked(cache=False)),
        (scripted.answer(GOOD), asked("How often does my red pump need oil?")),
        (scripted.answer(GOOD), asked("How often does the red pump currently need oil?")),
    ],
    ids=["no citation holds", "a refusal", "degraded", "broken off", "opted out", "personal", "of the moment"],
)
async def test_what_must_not_be_kept(pumps: str, script: scripted.Script, question: Question) -> None:
    """Nothing of it is kept, and who asks again is answered anew."""
    with scripted_llm(script) as llm:
        async with opened(pumps, llm) as engine:
            await told(engine, question)
            before = len(llm.requests)
            await told(engine, question)
            assert len(llm.requests) > before
    assert rows(pumps) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sung(Question):
    tune: str = ""


async def test_what_the_cache_does_not_know_is_not_kept(pumps: str, llm: ScriptedLlm) -> None:
    """A question with a field the cache was never told of goes past it while it is set."""
    plain = asked()
    sung = _Sung(text=plain.text, caller=plain.caller, limit=plain.limit)
    async with opened(pumps, llm) as engine:
        assert (await end_of(engine, replace(sung, tune="high"))).cache == "bypass"
        assert (await end_of(engine, sung)).cache == "miss"


@pytest.mark.parametrize(
    "more",
    [
        {"history": (Utterance(role="user", text="I have a red pump."),)},
        {"tools": frozenset(Tool)},
        {"response_format": ResponseFormat(name="x", schema={"type": "string"})},
    ],
    ids=["conversation", "tools", "json"],
)
async def test_what_depends_on_more_than_the_question_is_not_kept(
    pumps: str, llm: ScriptedLlm, more: dict[str, Any]
) -> None:
    """Conversations, answers in steps and JSON are written anew."""
    async with opened(pumps, llm) as engine:
        events = [event async for event in answer(engine, replace(asked(), **more))]
    assert isinstance(events[-1], AnswerFailed) or getattr(events[-1], "cache", "") == "bypass"
    assert rows(pumps) == 0


async def test_switched_off_nothing_is_kept(pumps: str, llm: ScriptedLlm) -> None:
    """Without the cache every answer is written anew, and no row is written."""
    async with opened(pumps, llm, enabled=False) as engine:
        assert [(await end_of(engine)).cache for _ in range(2)] == ["bypass", "bypass"]
    assert (len(llm.requests), rows(pumps)) == (2, 0)


async def test_a_document_that_goes_takes_its_answers_with_it(own: str, llm: ScriptedLlm, tmp_path: Path) -> None:
    """Deleted, rewritten or given to others: no answer that cites it is left when the writer's transaction is."""
    async with opened(own, llm) as engine:
        await end_of(engine)
        assert rows(own) == 1
        put(own, tmp_path, "pump.md", PUMP, "group:eng")
        assert rows(own) == 0
        await end_of(engine)
        put(own, tmp_path, "other.md", "The blue valve is closed.")
        assert rows(own) == 1
        put(own, tmp_path, "pump.md", "The red pump needs oil every week. Its filter lasts a year.", "group:eng")
        assert rows(own) == 0
        await end_of(engine)
        with open_writer(own, tenant_id("acme")) as writer:
            writer.remove("docs/pump.md")
        assert rows(own) == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE documents SET acl = '{group:nobody}'",
        "UPDATE documents SET version = version + 1",
        "UPDATE documents SET content = 'New: ' || content",
    ],
    ids=["revoked", "another version", "rewritten"],
)
async def test_a_hit_is_held_against_the_documents(pumps: str, llm: ScriptedLlm, change: str) -> None:
    """Also where nobody invalidated: what does not hold at this moment is not found. The passages of the earlier
    search are used on purpose, as if the change had come between the search and the look-up."""
    async with opened(pumps, llm) as engine:
        found = await retrieve(engine, asked())
        await end_of(engine)
        inquiry = inquiry_of(engine, asked(), found)
        assert inquiry is not None
        shelf = Shelf(engine.store, engine.settings.cache, inquiry)
        assert await shelf.find() is not None
        with psycopg.connect(pumps) as connection:
            connection.execute(change)
        assert await shelf.find() is None


async def test_what_an_answer_took_from_a_document_without_citing_it_goes_with_that_document(
    own: str, llm: ScriptedLlm, tmp_path: Path
) -> None:
    """Once a document is out of sight, no answer is found that was written from it: its words may be in there."""
    sale = "The board plans to sell the yard."
    put(own, tmp_path, "board.md", sale)
    llm.scripts = [scripted.answer(f"{sale} {GOOD}")]
    async with opened(own, llm) as engine:
        assert len((await end_of(engine)).citations) == 1
        assert (await end_of(engine)).cache == "exact"
        put(own, tmp_path, "board.md", sale, "group:board")
        assert rows(own) == 0
        put(own, tmp_path, "board.md", sale)
        assert (await end_of(engine)).text.startswith(sale)
        with psycopg.connect(own) as connection:
            connection.execute("UPDATE documents SET acl = '{group:board}' WHERE uri LIKE '%board.md'")
        assert (await end_of(engine)).cache == "miss"


async def test_an_answer_written_before_a_change_is_not_kept_after_it(pumps: str, llm: ScriptedLlm) -> None:
    """Neither when the change is done nor while its transaction is still open: its writer could not see the answer."""
    llm.scripts = [scripted.slow_drip(GOOD, pause=0.05)]
    async with opened(pumps, llm) as engine, await psycopg.AsyncConnection.connect(pumps) as connection:
        events = answer(engine, asked())
        await anext(events)
        async for event in events:
            if isinstance(event, CitationFound):
                await connection.execute("UPDATE documents SET version = version + 1")
        assert rows(pumps) == 0
        await connection.rollback()
    async with opened(pumps, llm) as engine:
        await end_of(engine)
    assert rows(pumps) == 1


async def test_the_shelf_is_bounded(pumps: str, llm: ScriptedLlm) -> None:
    """No tenant keeps more than so many answers, and what has expired goes with the next that is kept."""
    async with opened(pumps, llm, entries=3, semantic_ttl=0) as engine:
        for number in range(10, 16):
            await end_of(engine, asked(f"How often does the red pump number {number} need oil?"))
        assert rows(pumps) == 3
        with psycopg.connect(pumps) as connection:
            connection.execute("UPDATE cached_answers SET expires_at = now() - interval '1 s'")
        assert (await end_of(engine, asked("How often does the red pump number 15 need oil?"))).cache == "miss"
        assert rows(pumps) == 1
