"""Answers and their money: what is booked, what is too dear, and what is told of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from retrieval.access import caller
from retrieval.answering import answer
from retrieval.domain import AnswerEvent, AnswerFinished, Degradation, Question, TextDelta
from retrieval.endpoints import EndpointSettings, Price
from retrieval.engine import Engine, open_engine
from retrieval.settings import LlmSettings, SearchSettings, SpendingSettings
from retrieval.spending.budgets import Budget, set_budget
from tests.bookkeeping import states, totals, windows_that_differ
from tests.conftest import on_database
from tests.fakes import WordEmbedder
from tests.faults.matrix import GOOD
from tests.llm_servers import scripted as script
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

QUESTION = "How often does the red pump need oil?"
COST = 11 * 500 + 7 * 2000
"""Nano-USD of the scripted server's usual usage, 11 tokens in and 7 out, at half a dollar and two the million."""


@asynccontextmanager
async def opened(
    dsn: str, *servers: ScriptedLlm, refuse: bool = False, dearer: int = 1, **limits: Any
) -> AsyncIterator[Engine]:
    """An engine over these servers, asked in order; the first is so many times `dearer` than the others."""
    endpoints = tuple(
        EndpointSettings(
            name=f"e{at}",
            model=f"m{at}",
            base_url=server.base_url,
            priority=at,
            price=Price(input=Decimal("0.5") * times, output=Decimal(2) * times),
        )
        for at, server, times in zip((1, 2), servers, (dearer, 1), strict=False)
    )
    # Patient in all but what is tested: the machine may be busy.
    patient: dict[str, Any] = {"token_timeout": 60.0, "deadline": 60.0, "connect_timeout": 30.0, "retries": 0}
    usual = on_database(dsn)
    settings = replace(
        usual,
        database=usual.database.model_copy(update={"database_timeout": 60.0}),
        search=SearchSettings(patience=60.0, shadow_rate=0.0),
        llm=LlmSettings(endpoints=endpoints or None, **patient | limits),
        spending=SpendingSettings(when_exhausted="refuse" if refuse else "extractive"),
    )
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        yield engine


def asked(*principals: str) -> Question:
    return Question(text=QUESTION, caller=caller("acme", principals), limit=5)


async def answered(engine: Engine, *principals: str) -> AnswerFinished:
    events = [event async for event in answer(engine, asked(*principals))]
    assert isinstance(events[-1], AnswerFinished), events[-1]
    return events[-1]


async def limit(engine: Engine, amount: int, principal: str = "everyone", unit: Any = "tokens") -> None:
    await set_budget(engine.store, "acme", Budget(principal=principal, period="month", unit=unit, amount=amount))


def estimated(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT prompt_tokens, completion_tokens, estimated FROM spending_calls").fetchall()


async def test_an_answer_says_what_it_cost_and_the_ledger_says_the_same(unspent: str) -> None:
    """To the nano-USD; a call that its server declined has a row as well, and costs nothing."""
    with scripted_llm(script.status(500)) as first, scripted_llm(script.answer(GOOD)) as second:
        async with opened(unspent, first, second) as engine:
            finished = await answered(engine)
    assert finished.cost_usd == Decimal(COST) / 10**9
    assert states(unspent) == ["released", "settled"]
    assert totals(unspent) == (18, COST)


async def test_a_call_that_failed_after_its_first_words_is_in_the_cost_of_nothing_else(unspent: str) -> None:
    """What a dead call may be billed is booked, estimated; the quoted answer that follows says it too."""
    with scripted_llm(script.empty()) as server:
        async with opened(unspent, server) as engine:
            finished = await answered(engine)
    assert (finished.answered_by, finished.degraded) == ("extractive", (Degradation.LLM_UNAVAILABLE,))
    assert finished.cost_usd == Decimal(totals(unspent)[1]) / 10**9 > 0
    [(prompt, completion, guessed)] = estimated(unspent)
    assert (prompt > 100, completion, guessed) == (True, 0, True)


async def test_without_a_call_there_is_no_cost(unspent: str) -> None:
    """A quoted answer costs nothing, which is not the same as zero."""
    async with opened(unspent) as engine:
        assert (await answered(engine)).cost_usd is None


@pytest.mark.parametrize("usage", [None, (-5, 10**9), (11, 10**9), (10**9, 7)])
async def test_without_a_credible_usage_the_call_is_estimated_and_marked(unspent: str, usage: Any) -> None:
    """A number that cannot be is no number: it may not eat a month's budget."""
    with scripted_llm(script.answer(GOOD, usage=usage)) as server:
        async with opened(unspent, server) as engine:
            await answered(engine)
    [(prompt, completion, guessed)] = estimated(unspent)
    assert (100 < prompt < 1000, 5 < completion < 30, guessed) == (True, True, True)


async def test_the_dearer_endpoint_is_passed_over_for_one_that_can_be_paid(unspent: str) -> None:
    """What is left is too small for the first and enough for the second: the answer is not degraded."""
    with scripted_llm(script.answer(GOOD)) as first, scripted_llm(script.answer(GOOD)) as second:
        async with opened(unspent, first, second, dearer=1000) as engine:
            await limit(engine, 10**7, unit="nano_usd")
            finished = await answered(engine)
    assert finished.served is not None
    assert (finished.served.endpoint, finished.served.attempts, finished.degraded) == ("e2", 1, ())
    assert (first.requests, len(second.requests)) == ([], 1)


async def test_with_less_left_a_shorter_answer_is_asked_for(unspent: str) -> None:
    """The server is told how many tokens are paid for."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server, max_output_tokens=5000) as engine:
            await limit(engine, 4000)
            await answered(engine)
    assert 128 <= server.requests[0]["max_tokens"] < 4000
    assert states(unspent) == ["settled"]


async def test_a_used_up_budget_is_answered_by_quoting(unspent: str) -> None:
    """No call is made, nothing is booked, and the answer says why it is the cheaper one. Others go on."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server) as engine:
            await limit(engine, 50, "user:*")
            finished = await answered(engine, "user:ada")
            other = await answered(engine, "group:eng")
    assert (finished.answered_by, finished.degraded) == ("extractive", (Degradation.BUDGET_EXHAUSTED,))
    assert finished.cost_usd is None
    assert (other.answered_by, len(server.requests), len(states(unspent))) == ("m1", 1, 1)


async def test_an_endpoint_that_is_too_dear_does_not_open_its_breaker(unspent: str) -> None:
    """Who cannot pay says nothing about the server."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server) as engine:
            await limit(engine, 50, "user:ada")
            for _ in range(6):
                await answered(engine, "user:ada")
            assert engine.llm is not None
            assert (await engine.llm.endpoints())["e1"].breaker == "closed"


async def test_a_reader_who_leaves_pays_for_what_was_written(unspent: str) -> None:
    """The call is settled at an estimate of the words so far, and nothing stays reserved."""
    with scripted_llm(script.hang_midway(GOOD)) as server:
        async with opened(unspent, server) as engine:
            await limit(engine, 10**6)
            async with aclosing(answer(engine, asked())) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
        assert server.wait_for(lambda each: each.disconnects == 1)
    assert states(unspent) == ["settled"]
    [(_, completion, guessed)] = estimated(unspent)
    assert (0 < completion < 30, guessed) == (True, True)
    assert windows_that_differ(unspent) == []


async def _cut_off(events: AsyncGenerator[AnswerEvent, None], seconds: float) -> None:
    """Reads on in a task of its own, which is cancelled so many seconds after the passages were found."""
    async with aclosing(events):
        await anext(events)
        reading = asyncio.create_task(_read(events))
        await asyncio.sleep(seconds)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(events: AsyncGenerator[AnswerEvent, None]) -> None:
    async for _ in events:
        pass


async def test_a_task_cancelled_anywhere_leaves_nothing_reserved(unspent: str) -> None:
    """At whatever moment it is cut off, each call that it made is closed when the engine is."""
    with scripted_llm(script.slow_drip(GOOD, pause=0.01)) as server:
        async with opened(unspent, server) as engine:
            await limit(engine, 10**6)
            for moment in range(12):
                await _cut_off(answer(engine, asked()), moment * 0.008)
    assert "reserved" not in states(unspent)
    assert windows_that_differ(unspent) == []


async def test_64_questions_at_once_overshoot_no_budget(unspent: str) -> None:
    """Answers by the LLM while it lasts, quoted ones after; the ledger holds what the servers were asked for."""
    with scripted_llm(script.answer(GOOD, usage=(400, 100))) as server:
        async with opened(unspent, server, concurrency=64, waiting=64, patience=60.0, max_output_tokens=128) as engine:
            await limit(engine, 5_300)
            finished = await asyncio.gather(*(answered(engine) for _ in range(64)))
    by_llm = sum(each.answered_by == "m1" for each in finished)
    assert by_llm == len(server.requests) == len(states(unspent))
    assert totals(unspent)[0] == 500 * by_llm <= 5_300
    assert 1 <= by_llm <= 10
    assert all(each.degraded == (Degradation.BUDGET_EXHAUSTED,) for each in finished if each.answered_by != "m1")
