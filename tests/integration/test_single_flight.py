"""Many who ask the same at once: one answer is written, and nobody is left without one."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from ingest.sources import Request
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.caching import boarding
from retrieval.caching.inquiry import inquiry_of
from retrieval.caching.shelf import Shelf
from retrieval.domain import AnswerEvent, AnswerFailed, AnswerFinished, CacheUse, PassagesFound, Question
from retrieval.engine import Engine, open_engine
from retrieval.searching import retrieve
from retrieval.settings import CacheSettings, SearchSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

GOOD = 'It "needs oil every week" [1].'
QUESTION = Question(text="How often does the red pump need oil?", caller=caller("acme", ["group:eng"]), limit=5)
CROWD = 64


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pumps")
    (folder / "pump.md").write_text("The red pump needs oil every week. Its filter lasts ninety days.")
    for dsn in new_database(server):
        ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(folder,), acl=frozenset({"group:eng"})))
        yield dsn


@pytest.fixture
def pumps(filled: str) -> Iterator[str]:
    """A document on a red pump, and nothing kept."""
    yield filled
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM cached_answers")
        connection.execute("DELETE FROM answer_claims")
        connection.execute("UPDATE documents SET acl = '{group:eng}'")


@asynccontextmanager
async def processes(
    dsn: str, llm: ScriptedLlm, count: int, *, deadline: float = 30.0, token_timeout: float = 10.0
) -> AsyncIterator[list[Engine]]:
    """Engines that share nothing but the database and the LLM, as several API processes do."""
    settings = replace(
        on_database(dsn),
        llm=llm.settings(deadline=deadline, token_timeout=token_timeout),
        search=SearchSettings(waiting=CROWD, patience=60.0),
        cache=CacheSettings(),
    )
    async with AsyncExitStack() as stack:
        opened = [open_engine(settings, embedder=WordEmbedder()) for _ in range(count)]
        yield [await stack.enter_async_context(engine) for engine in opened]


async def end_of(engine: Engine, question: Question = QUESTION) -> AnswerFinished | AnswerFailed:
    last = [event async for event in answer(engine, question)][-1]
    assert isinstance(last, AnswerFinished | AnswerFailed)
    return last


def uses(ends: list[AnswerFinished | AnswerFailed]) -> Counter[CacheUse]:
    assert all(isinstance(end, AnswerFinished) for end in ends), ends
    return Counter(end.cache for end in ends if isinstance(end, AnswerFinished))


@pytest.mark.parametrize("count", [1, 3])
async def test_a_crowd_is_one_generation(pumps: str, count: int) -> None:
    """64 who ask the same at once, of one process or of several, cost one call; all get the same answer."""
    with scripted_llm(scripted.slow_drip(GOOD, pause=0.2)) as llm:
        async with processes(pumps, llm, count) as engines:
            ends = await asyncio.gather(*(end_of(engines[at % count]) for at in range(CROWD)))
        assert len(llm.requests) == 1
    found = uses(ends)
    assert found["miss"] == 1
    assert found["miss"] + found["shared"] + found["exact"] == CROWD
    answers = [end for end in ends if isinstance(end, AnswerFinished)]
    assert len({(end.text, end.citations) for end in answers}) == 1
    assert sum(end.usage is not None for end in answers) == 1
    assert sum(end.cost_usd is not None for end in answers) == 1


async def test_other_questions_and_askers_do_not_wait(pumps: str) -> None:
    """Another question, or the same one of other principals, is written while this one is."""
    with scripted_llm(scripted.slow_drip(GOOD, pause=0.05)) as llm:
        async with processes(pumps, llm, 1) as (engine,):
            other = replace(QUESTION, text="How long does the filter of the red pump last?")
            stranger = replace(QUESTION, caller=caller("acme", ["group:eng", "user:ada"]))
            ends = await asyncio.gather(*(end_of(engine, asked) for asked in (QUESTION, other, stranger)))
        assert len(llm.requests) == 3
    assert uses(ends) == {"miss": 3}


@pytest.mark.parametrize(
    "script",
    [scripted.slow_drip("I do not know.", pause=0.2), scripted.hang_before_first_token()],
    ids=["unsure", "down"],
)
async def test_an_answer_nobody_may_keep_is_shared_all_the_same(pumps: str, script: scripted.Script) -> None:
    """Who waited for an answer without citations, or for one quoted for want of an LLM, has it too: asked for once."""
    with scripted_llm(script) as llm:
        async with processes(pumps, llm, 1, token_timeout=1.0) as (engine,):
            ends = await asyncio.gather(*(end_of(engine) for _ in range(8)))
        assert len(llm.requests) == 1
    assert uses(ends) == {"miss": 1, "shared": 7}
    assert len({(end.text, end.degraded) for end in ends if isinstance(end, AnswerFinished)}) == 1
    with psycopg.connect(pumps) as connection:
        assert connection.execute("SELECT count(*) FROM cached_answers").fetchone() == (0,)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_leader_that_fails_hands_over(pumps: str, count: int) -> None:
    """What breaks the one stream breaks no other: the next one writes, for all who still wait."""
    with scripted_llm(replace(scripted.cut_midway("It needs oil"), pause=0.3), scripted.answer(GOOD)) as llm:
        async with processes(pumps, llm, count) as engines:
            ends = await asyncio.gather(*(end_of(engines[at % count]) for at in range(8)))
        assert len(llm.requests) == 2
    failed = [end for end in ends if isinstance(end, AnswerFailed)]
    assert [end.code for end in failed] == ["llm_interrupted"]
    assert {end.text for end in ends if isinstance(end, AnswerFinished)} == {'It "needs oil every week" [1].'}


@pytest.mark.parametrize("count", [1, 2])
async def test_a_leader_that_leaves_hands_over(pumps: str, count: int) -> None:
    """A client that hangs up ends its own call; who waits for the answer gets one of their own."""
    with scripted_llm(scripted.hang_midway("It needs oil"), scripted.answer(GOOD)) as llm:
        async with processes(pumps, llm, count) as engines:
            leaving = asyncio.create_task(end_of(engines[0]))
            assert await asyncio.to_thread(llm.wait_for, lambda server: server.at_once == 1)
            staying = [asyncio.create_task(end_of(engines[at % count])) for at in range(1, 5)]
            await asyncio.sleep(0.3)
            leaving.cancel()
            ends = await asyncio.gather(*staying)
            assert len(llm.requests) == 2
            assert await asyncio.to_thread(llm.wait_for, lambda server: server.disconnects == 1)
    assert uses(list(ends))["miss"] == 1


async def test_a_follower_that_leaves_disturbs_nobody(pumps: str) -> None:
    """Neither the leader nor the others who wait."""
    with scripted_llm(scripted.slow_drip(GOOD, pause=0.2)) as llm:
        async with processes(pumps, llm, 1) as (engine,):
            leading = asyncio.create_task(end_of(engine))
            assert await asyncio.to_thread(llm.wait_for, lambda server: server.at_once == 1)
            following = [asyncio.create_task(end_of(engine)) for _ in range(4)]
            await asyncio.sleep(0.1)
            following.pop().cancel()
            ends = await asyncio.gather(leading, *following)
            assert not engine.flights._aloft
        assert len(llm.requests) == 1
    assert uses(list(ends))["miss"] == 1


async def test_a_claim_whose_holder_died_lapses(pumps: str) -> None:
    """Nobody waits for a dead process: neither once its lease is over, nor longer than an answer may take."""
    with scripted_llm(scripted.answer(GOOD)) as llm:
        async with processes(pumps, llm, 1, deadline=1.0) as (engine,):
            inquiry = inquiry_of(engine, QUESTION, await retrieve(engine, QUESTION))
            assert inquiry is not None
            shelf, dead = Shelf(engine.store, engine.settings.cache, inquiry), uuid4()
            assert await shelf.claim(dead)
            assert not await shelf.claim(uuid4())
            assert uses([await end_of(engine)]) == {"miss": 1}
            with psycopg.connect(pumps) as connection:
                connection.execute("DELETE FROM cached_answers")
                connection.execute("UPDATE answer_claims SET expires_at = now() - interval '1 s'")
            assert uses([await end_of(engine)]) == {"miss": 1}
            assert not await shelf.renew(dead)


async def test_a_claim_is_renewed_while_its_holder_writes(pumps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an answer takes, nobody takes it for given up."""
    monkeypatch.setattr(boarding, "LEASE", 0.3)
    with scripted_llm(scripted.hang_midway("It needs oil")) as llm:
        async with processes(pumps, llm, 1) as (engine,):
            writing = asyncio.create_task(end_of(engine))
            assert await asyncio.to_thread(llm.wait_for, lambda server: server.at_once == 1)
            with psycopg.connect(pumps, autocommit=True) as connection:
                # In a thread: who renews the claim, in this loop, may hold the row just now.
                shortened = "UPDATE answer_claims SET expires_at = now() + interval '1 s'"
                await asyncio.to_thread(connection.execute, shortened)
                assert await asyncio.to_thread(_lasts, connection)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                assert connection.execute("SELECT count(*) FROM answer_claims").fetchone() == (0,)


def _lasts(connection: psycopg.Connection[tuple[object, ...]], seconds: float = 10.0) -> bool:
    """Whether the claim soon has more than five seconds left."""
    left, until = "SELECT expires_at > now() + interval '5 s' FROM answer_claims", time.monotonic() + seconds
    while connection.execute(left).fetchone() != (True,) and time.monotonic() < until:
        time.sleep(0.05)
    return connection.execute(left).fetchone() == (True,)


async def test_who_waits_is_held_against_the_documents_too(pumps: str) -> None:
    """What is revoked while an answer is written reaches none of those who wait for it."""
    with scripted_llm(scripted.slow_drip(GOOD, pause=0.1)) as llm:
        async with processes(pumps, llm, 1) as (engine,):
            leader = answer(engine, QUESTION)
            events: list[AnswerEvent] = [await anext(leader)]
            follower = answer(engine, QUESTION)
            assert isinstance(await anext(follower), PassagesFound)
            waiting = asyncio.create_task(_rest(follower))
            async for event in leader:
                events.append(event)
                if isinstance(event, AnswerFinished):
                    with psycopg.connect(pumps) as connection:
                        connection.execute("UPDATE documents SET acl = '{group:nobody}'")
            rest = await waiting
    assert isinstance(events[-1], AnswerFinished)
    assert events[-1].citations
    assert isinstance(rest[-1], AnswerFinished)
    assert rest[-1].citations == ()


async def _rest(events: AsyncIterator[AnswerEvent]) -> list[AnswerEvent]:
    return [event async for event in events]
