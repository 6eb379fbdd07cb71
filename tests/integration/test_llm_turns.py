"""Whose answer is written next: bounded, fair, and nothing left behind."""

import asyncio
import random
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from retrieval.access import caller
from retrieval.errors import LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.llm import Begun
from retrieval.settings import BreakerSettings
from tests.llm_servers import scripted as script
from tests.llm_servers.gateways import ACME, DRAFT, begun_by, endpoint, gateway
from tests.llm_servers.scripted import scripted_llm


async def test_no_endpoint_writes_more_at_once_than_it_may() -> None:
    """What comes on top waits; past the line's end it is told so at once, and a free endpoint is used before a line."""
    slow = script.slow_drip("one two three four five", pause=0.08)
    with scripted_llm(slow) as first, scripted_llm(slow) as second:
        ends = (endpoint("a", first, concurrency=2), endpoint("b", second, priority=2, concurrency=1))
        async with gateway(*ends, waiting=2) as llm:
            started = time.monotonic()
            outcomes = await asyncio.gather(*(begun_by(llm) for _ in range(12)), return_exceptions=True)
            served = Counter(each.served.endpoint for each in outcomes if isinstance(each, Begun))
            assert Counter(map(type, outcomes)) == {Begun: 7, Overloaded: 5}
            assert served["a"] + served["b"] == 7
            assert (first.most_at_once, second.most_at_once) == (2, 1)
            assert time.monotonic() - started < 5
            assert (await begun_by(llm)).served.endpoint == "a"


async def test_tenants_wait_in_turn() -> None:
    """One tenant's crowd in the line does not keep another out of it."""
    with scripted_llm(script.slow_drip("one two three", pause=0.05)) as server:
        async with gateway(endpoint("a", server, concurrency=1), waiting=4) as llm:
            order: list[str] = []

            async def ask(tenant: str) -> None:
                async with llm.turn(caller(tenant, ())) as turn:
                    order.append(tenant)
                    async for _ in turn.stream(DRAFT):
                        pass

            crowd = [asyncio.create_task(ask("acme")) for _ in range(5)]
            await asyncio.sleep(0)
            outcomes = await asyncio.gather(*crowd, ask("beta"), return_exceptions=True)
            assert order.index("beta") <= 2
            assert [type(outcome) for outcome in outcomes].count(Overloaded) == 1


async def test_who_was_told_to_come_back_waits_in_its_place() -> None:
    """While an endpoint asks to be left alone no more wait for it than its places and its line hold."""
    with scripted_llm(script.status(429, retry_after=0.5), script.answer("Thirty days [1].")) as server:
        async with gateway(endpoint("a", server, concurrency=1), waiting=2, retries=1) as llm:
            first = asyncio.create_task(begun_by(llm))
            assert await asyncio.to_thread(server.wait_for, lambda _: llm._endpoints[0]._held_until > 0)
            outcomes = await asyncio.gather(first, *(begun_by(llm) for _ in range(12)), return_exceptions=True)
            assert Counter(map(type, outcomes)) == {Begun: 3, Overloaded: 10}
            assert llm._endpoints[0].line.pressure == 0


async def test_nobody_waits_longer_than_for_a_turn() -> None:
    """Where every endpoint asks for more time than `patience`, the answer is given up at once."""
    with scripted_llm(script.status(429, retry_after=2), script.answer("Thirty days [1].")) as server:
        async with gateway(endpoint("a", server), patience=0.5, retries=2) as llm:
            for _ in range(2):
                with pytest.raises(LlmUnavailable):
                    await begun_by(llm)
            assert len(server.requests) == 1


async def test_nobody_stands_in_line_for_what_may_not_be_asked() -> None:
    """An endpoint whose breaker is open is passed over, however many of its old answers are still being written."""
    with scripted_llm(script.status(401)) as first, scripted_llm(script.answer("Yes."), script.status(401)) as second:
        ends = (endpoint("a", first, concurrency=1), endpoint("b", second, priority=2))
        async with gateway(*ends, patience=60.0, deadline=60.0) as llm:
            assert (await begun_by(llm)).served.endpoint == "b"
            async with llm._endpoints[0].line.turn(ACME), asyncio.timeout(20):
                with pytest.raises(LlmUnavailable, match="credentials"):
                    await begun_by(llm)


async def test_nothing_is_left_behind_whatever_happens() -> None:
    """Faults, breakers, full lines, readers who leave at any moment: at the end every place is free."""
    chance = random.Random(7)  # noqa: S311 - no secret
    scripts = [
        script.answer("Thirty days [1]."),
        script.status(500),
        script.cut_midway("Thirty days"),
        script.slow_drip("one two three four five six", pause=0.01),
        script.hang_midway("Thirty days"),
        script.status(429, retry_after=0.02),
    ]
    with ExitStack() as stack:
        servers = [stack.enter_context(scripted_llm(*chance.choices(scripts, k=300))) for _ in range(2)]
        ends = [endpoint(f"e{at}", server, priority=at, concurrency=3) for at, server in enumerate(servers, 1)]
        breaker = BreakerSettings(failures=5, window=60, rest=0.05)
        async with gateway(*ends, breaker=breaker, waiting=8, patience=0.3, token_timeout=0.1, retries=1) as llm:
            asked = []
            for _ in range(150):
                asked.append(asyncio.create_task(begun_by(llm)))
                if chance.random() < 0.3:
                    chance.choice(asked).cancel()
                await asyncio.sleep(chance.random() / 50)
            outcomes = Counter(map(type, await asyncio.gather(*asked, return_exceptions=True)))
            assert set(outcomes) <= {Begun, LlmUnavailable, LlmInterrupted, Overloaded, asyncio.CancelledError}
            assert outcomes[Begun] > 0
            for server in servers:
                assert await asyncio.to_thread(server.wait_for, lambda state: state.at_once == 0)
                server.scripts = [script.answer("Thirty days [1].")]
            await asyncio.sleep(0.1)
            for _ in range(2):  # the probe that closes the breaker, then a call as ever
                await begun_by(llm)
            assert [endpoint.line.pressure for endpoint in llm._endpoints] == [0, 0]
            assert (await begun_by(llm)).served.endpoint == "e1"
