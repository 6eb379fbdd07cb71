"""Answers and their money: what is booked, what is too dear, and what is told of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx2
import psycopg
import pytest

from api.app import create_app
from retrieval.access import caller, tenant_id
from retrieval.answering import answer
from retrieval.domain import AnswerEvent, AnswerFinished, Degradation, Question, TextDelta
from retrieval.endpoints import EndpointSettings, Price
from retrieval.engine import Engine, open_engine
from retrieval.keys import create_key
from retrieval.settings import LlmSettings, SpendingSettings
from retrieval.spending.budgets import Budget, set_budget
from tests.conftest import on_database
from tests.e2e.standing import client_of, events_of
from tests.fakes import WordEmbedder
from tests.faults.matrix import GOOD, corpus
from tests.integration.test_spending_ledger import states, totals, windows_that_differ
from tests.llm_servers import scripted as script
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

QUESTION = "How often does the red pump need oil?"
COST = 11 * 500 + 7 * 2000
"""Nano-USD of the scripted server's usual usage, 11 tokens in and 7 out, at half a dollar and two the million."""


@pytest.fixture(scope="module")
def shared(server: str) -> Iterator[str]:
    with corpus(server) as dsn:
        yield dsn


@pytest.fixture
def pumps(shared: str) -> str:
    """The corpus, with nothing spent."""
    with psycopg.connect(shared) as connection:
        connection.execute("TRUNCATE spending_accounts, spending_calls, spending_windows, budgets")
    return shared


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
    short: dict[str, Any] = {"token_timeout": 5.0, "deadline": 10.0, "retries": 0}
    settings = replace(
        on_database(dsn),
        llm=LlmSettings(endpoints=endpoints or None, **short | limits),
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


async def test_an_answer_says_what_it_cost_and_the_ledger_says_the_same(pumps: str) -> None:
    """To the nano-USD; a call that its server declined has a row as well, and costs nothing."""
    with scripted_llm(script.status(500)) as first, scripted_llm(script.answer(GOOD)) as second:
        async with opened(pumps, first, second) as engine:
            finished = await answered(engine)
    assert finished.cost_usd == Decimal(COST) / 10**9
    assert states(pumps) == ["released", "settled"]
    assert totals(pumps) == (18, COST)


async def test_a_call_that_failed_after_its_first_words_is_in_the_cost_of_nothing_else(pumps: str) -> None:
    """What a dead call may be billed is booked, estimated; the quoted answer that follows says it too."""
    with scripted_llm(script.empty()) as server:
        async with opened(pumps, server) as engine:
            finished = await answered(engine)
    assert (finished.answered_by, finished.degraded) == ("extractive", (Degradation.LLM_UNAVAILABLE,))
    assert finished.cost_usd == Decimal(totals(pumps)[1]) / 10**9 > 0
    [(prompt, completion, guessed)] = estimated(pumps)
    assert (prompt > 100, completion, guessed) == (True, 0, True)


async def test_without_a_call_there_is_no_cost(pumps: str) -> None:
    """A quoted answer costs nothing, which is not the same as zero."""
    async with opened(pumps) as engine:
        assert (await answered(engine)).cost_usd is None


@pytest.mark.parametrize("usage", [None, (-5, 10**9), (11, 10**9), (10**9, 7)])
async def test_without_a_credible_usage_the_call_is_estimated_and_marked(pumps: str, usage: Any) -> None:
    """A number that cannot be is no number: it may not eat a month's budget."""
    with scripted_llm(script.answer(GOOD, usage=usage)) as server:
        async with opened(pumps, server) as engine:
            await answered(engine)
    [(prompt, completion, guessed)] = estimated(pumps)
    assert (100 < prompt < 1000, 5 < completion < 30, guessed) == (True, True, True)


async def test_the_dearer_endpoint_is_passed_over_for_one_that_can_be_paid(pumps: str) -> None:
    """What is left is too small for the first and enough for the second: the answer is not degraded."""
    with scripted_llm(script.answer(GOOD)) as first, scripted_llm(script.answer(GOOD)) as second:
        async with opened(pumps, first, second, dearer=1000) as engine:
            await limit(engine, 10**7, unit="nano_usd")
            finished = await answered(engine)
    assert finished.served is not None
    assert (finished.served.endpoint, finished.served.attempts, finished.degraded) == ("e2", 1, ())
    assert (first.requests, len(second.requests)) == ([], 1)


async def test_with_less_left_a_shorter_answer_is_asked_for(pumps: str) -> None:
    """The server is told how many tokens are paid for."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server, max_output_tokens=5000) as engine:
            await limit(engine, 4000)
            await answered(engine)
    assert 128 <= server.requests[0]["max_tokens"] < 4000
    assert states(pumps) == ["settled"]


async def test_a_used_up_budget_is_answered_by_quoting(pumps: str) -> None:
    """No call is made, nothing is booked, and the answer says why it is the cheaper one. Others go on."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server) as engine:
            await limit(engine, 50, "user:*")
            finished = await answered(engine, "user:ada")
            other = await answered(engine, "group:eng")
    assert (finished.answered_by, finished.degraded) == ("extractive", (Degradation.BUDGET_EXHAUSTED,))
    assert finished.cost_usd is None
    assert (other.answered_by, len(server.requests), len(states(pumps))) == ("m1", 1, 1)


async def test_an_endpoint_that_is_too_dear_does_not_open_its_breaker(pumps: str) -> None:
    """Who cannot pay says nothing about the server."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server) as engine:
            await limit(engine, 50, "user:ada")
            for _ in range(6):
                await answered(engine, "user:ada")
            assert engine.llm is not None
            assert (await engine.llm.endpoints())["e1"].breaker == "closed"


async def test_a_reader_who_leaves_pays_for_what_was_written(pumps: str) -> None:
    """The call is settled at an estimate of the words so far, and nothing stays reserved."""
    with scripted_llm(script.hang_midway(GOOD)) as server:
        async with opened(pumps, server) as engine:
            await limit(engine, 10**6)
            async with aclosing(answer(engine, asked())) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break
        assert server.wait_for(lambda each: each.disconnects == 1)
    assert states(pumps) == ["settled"]
    [(_, completion, guessed)] = estimated(pumps)
    assert (0 < completion < 30, guessed) == (True, True)
    assert windows_that_differ(pumps) == []


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


async def test_a_task_cancelled_anywhere_leaves_nothing_reserved(pumps: str) -> None:
    """At whatever moment it is cut off, each call that it made is closed when the engine is."""
    with scripted_llm(script.slow_drip(GOOD, pause=0.01)) as server:
        async with opened(pumps, server) as engine:
            await limit(engine, 10**6)
            for moment in range(12):
                await _cut_off(answer(engine, asked()), moment * 0.008)
    assert "reserved" not in states(pumps)
    assert windows_that_differ(pumps) == []


async def test_64_questions_at_once_overshoot_no_budget(pumps: str) -> None:
    """Answers by the LLM while it lasts, quoted ones after; the ledger holds what the servers were asked for."""
    with scripted_llm(script.answer(GOOD, usage=(400, 100))) as server:
        async with opened(pumps, server, concurrency=64, waiting=64, patience=60.0, max_output_tokens=128) as engine:
            await limit(engine, 5_300)
            finished = await asyncio.gather(*(answered(engine) for _ in range(64)))
    by_llm = sum(each.answered_by == "m1" for each in finished)
    assert by_llm == len(server.requests) == len(states(pumps))
    assert totals(pumps)[0] == 500 * by_llm <= 5_300
    assert 1 <= by_llm <= 10
    assert all(each.degraded == (Degradation.BUDGET_EXHAUSTED,) for each in finished if each.answered_by != "m1")


_DIES = """
import asyncio, sys
from retrieval.database.store import open_store
from tests.conftest import on_database
from tests.integration.test_spending_ledger import ORDER
from retrieval.spending.ledger import Ledger

async def main():
    settings = on_database(sys.argv[1]).database
    async with open_store(sys.argv[1], settings) as store:
        await Ledger(store, 0.0).reserve(ORDER)
        print("reserved", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_what_a_killed_process_had_reserved_stays_booked_and_is_told_as_abandoned(pumps: str) -> None:
    """Its provider may bill it and nobody can say otherwise: it counts at its bound, and is no call under way."""
    async with opened(pumps) as engine:
        await limit(engine, 2000)
        command = [sys.executable, "-c", _DIES, pumps]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"reserved\n"
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        async with _client(engine, pumps, "admin") as client:
            told = (await client.get("/v1/usage")).json()
    assert (told["total"]["under_way"], told["total"]["abandoned"], told["total"]["calls"]) == (0, 1, 1)
    assert told["total"]["prompt_tokens"] + told["total"]["completion_tokens"] == 1600
    assert [each["left"] for each in told["budgets"]] == [400]


@asynccontextmanager
async def _client(engine: Engine, dsn: str, *scopes: str, who: str = "user:ada") -> AsyncIterator[httpx2.AsyncClient]:
    key = create_key(dsn, tenant_id("acme"), "test", {"query", *scopes}, {who})
    async with client_of(create_app(engine.settings, engine)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.mark.parametrize("stream", [True, False])
async def test_by_policy_a_used_up_budget_is_a_429_that_says_when_it_is_new(pumps: str, stream: bool) -> None:
    """Before the first event, with `Retry-After` in seconds and the moment itself; nothing is booked."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server, refuse=True) as engine, _client(engine, pumps) as client:
            body = {"question": QUESTION, "stream": stream}
            good = await client.post("/v1/answers", json=body)
            await limit(engine, 50, "user:ada")
            refused = await client.post("/v1/answers", json=body)
    assert good.status_code == 200
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["reset_at"][8:]) == ("budget_exhausted", "01T00:00:00Z")
    assert 1 <= int(refused.headers["retry-after"]) <= 31 * 86_400
    assert len(server.requests) == 1


async def test_the_request_and_its_key_are_in_the_ledger_and_the_cost_is_in_the_answer(pumps: str) -> None:
    """An operator finds a call by the request id that the client was given."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server) as engine, _client(engine, pumps) as client:
            response = await client.post("/v1/answers", json={"question": QUESTION}, headers={"X-Request-ID": "r-17"})
            key_id = client.headers["Authorization"].split("_")[1]
    finished = dict(events_of(response.text))["finished"]
    assert finished["cost_usd"] == "0.0000195"
    with psycopg.connect(pumps) as connection:
        rows = connection.execute("SELECT request_id, key_id, principals FROM spending_calls").fetchall()
    assert rows == [("r-17", key_id, ["everyone", "user:ada"])]


async def test_usage_adds_up_and_shows_nobody_elses_calls(pumps: str) -> None:
    """A key is told of calls made as its own principals alone; with `admin`, of all. Parts add up to the total."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(pumps, server) as engine:
            await limit(engine, 10**9, unit="nano_usd")
            await limit(engine, 5000, "user:*")
            await limit(engine, 900, "user:ben")
            for principals in (("user:ada",), ("user:ada",), ("user:cleo", "group:eng"), ()):
                await answered(engine, *principals)
            async with _client(engine, pumps) as ada, _client(engine, pumps, "admin", who="group:x") as admin:
                own = (await ada.get("/v1/usage")).json()
                parted = {by: (await admin.get(f"/v1/usage?by={by}")).json() for by in ("day", "model", "principal")}
                later = (await admin.get("/v1/usage?since=2999-01-01")).json()
                wrong = await admin.get("/v1/usage?by=color")
    assert own["total"]["calls"] == 3
    assert {each["principal"]: each["left"] for each in own["budgets"]} == {
        "everyone": f"{Decimal(10**9 - 4 * COST) / 10**9:f}",
        "user:ada": 5000 - 2 * 18,
    }
    for by in ("day", "model"):
        for figure in ("calls", "prompt_tokens", "completion_tokens"):
            assert sum(part[figure] for part in parted[by]["parts"]) == parted[by]["total"][figure]
        costs = [Decimal(part["cost_usd"]) for part in parted[by]["parts"]]
        assert sum(costs) == Decimal(parted[by]["total"]["cost_usd"]) == Decimal(4 * COST) / 10**9
    by_principal = {part["part"]: part["calls"] for part in parted["principal"]["parts"]}
    assert by_principal == {"everyone": 4, "group:eng": 1, "user:ada": 2, "user:cleo": 1}
    assert parted["principal"]["total"] == parted["day"]["total"]
    left = {each["principal"]: each["left"] for each in parted["day"]["budgets"] if each["unit"] == "tokens"}
    assert left == {"user:*": 5000, "user:ada": 5000 - 36, "user:ben": 900, "user:cleo": 5000 - 18}
    assert (later["parts"], later["total"]["calls"], later["total"]["cost_usd"]) == ([], 0, "0")
    assert wrong.status_code == 422
