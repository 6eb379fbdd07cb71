"""Several endpoints behind one gateway: what one cannot do, another does; nobody is asked more than is good for it."""

import asyncio
import time
from collections import Counter
from contextlib import ExitStack, aclosing

import pytest

from retrieval.domain import RankedPassage, Served
from retrieval.endpoints import EndpointSettings
from retrieval.errors import LlmInterrupted, LlmUnavailable
from retrieval.generation.drafts import Draft
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.packing import count_tokens, counter_for
from retrieval.settings import BreakerSettings
from tests.llm_servers import scripted as script
from tests.llm_servers.gateways import ASKER, DRAFT, begun_by, endpoint, gateway
from tests.llm_servers.scripted import Script, scripted_llm
from tests.unit.test_citations import ranked


async def _breakers(llm: LlmGateway) -> dict[str, str]:
    return {name: state.breaker for name, state in (await llm.endpoints()).items()}


async def _read_slowly(llm: LlmGateway, pause: float) -> None:
    async with llm.turn(ASKER) as turn:
        async for _ in turn.stream(DRAFT):
            await asyncio.sleep(pause)


@pytest.mark.parametrize(
    "fault",
    [
        script.status(500),
        script.status(429, retry_after=30),
        script.status(401),
        script.status(404),
        script.status(408),
        script.hang_before_first_token(),
        script.empty(),
        script.answer("", usage=None),
        script.cut_midway(""),
        script.gibberish("not json"),
        script.context_overflow(),
        script.context_overflow_in_words(),
        script.status(403),
    ],
    ids=str,
)
async def test_what_one_endpoint_fails_at_the_next_one_does(fault: Script) -> None:
    """Before the first token any failure that is not the request's own leads to the next endpoint at once."""
    with scripted_llm(fault) as first, scripted_llm() as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2)) as llm:
            begun = await begun_by(llm)
        assert begun.served == Served(endpoint="b", model="model-b", attempts=2)
        assert (len(first.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize("code", [400, 422])
async def test_a_refused_request_is_refused_once(code: int) -> None:
    """What is wrong with a request is wrong everywhere: no other endpoint is asked, and no breaker counts it."""
    with scripted_llm(script.status(code)) as first, scripted_llm() as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2), retries=2) as llm:
            for _ in range(6):
                with pytest.raises(LlmUnavailable):
                    await begun_by(llm)
            assert await _breakers(llm) == {"a": "closed", "b": "closed"}
        assert (len(first.requests), len(second.requests)) == (6, 0)


@pytest.mark.parametrize("fault", [script.hang_midway("Thirty days"), script.cut_midway("Thirty days")], ids=str)
async def test_after_the_first_token_nobody_else_is_asked(fault: Script) -> None:
    """The caller has seen words: another endpoint would say others."""
    with scripted_llm(fault) as first, scripted_llm() as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2), retries=2) as llm:
            with pytest.raises(LlmInterrupted):
                await begun_by(llm)
        assert (len(first.requests), len(second.requests)) == (1, 0)


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_found_again() -> None:
    """After so many failures it is not asked; after its rest one call probes, and its success brings it back."""
    with scripted_llm(*[script.status(500)] * 5, script.answer("Back.")) as first, scripted_llm() as second:
        breaker = BreakerSettings(failures=5, window=60, rest=0.4)
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2), breaker=breaker) as llm:
            assert [(await begun_by(llm)).served.attempts for _ in range(5)] == [2] * 5
            assert await _breakers(llm) == {"a": "open", "b": "closed"}
            assert (await llm.endpoints())["a"].state == "unavailable"
            assert [(await begun_by(llm)).served.attempts for _ in range(3)] == [1] * 3
            assert len(first.requests) == 5
            await asyncio.sleep(0.4)
            probes = await asyncio.gather(*(begun_by(llm) for _ in range(4)))
            assert Counter(probe.served.endpoint for probe in probes) == {"a": 1, "b": 3}
            assert await _breakers(llm) == {"a": "closed", "b": "closed"}
            assert (await begun_by(llm)).served.endpoint == "a"


async def test_a_wrong_key_opens_the_breaker_at_once() -> None:
    """A key that is refused is not tried with every question."""
    with scripted_llm(script.status(401)) as first, scripted_llm() as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2)) as llm:
            await begun_by(llm)
            await begun_by(llm)
        assert (len(first.requests), len(second.requests)) == (1, 2)


async def test_a_question_that_a_provider_will_not_have_opens_no_breaker() -> None:
    """A 403 may be of the question alone: however often one asks it, others are still answered."""
    refusing = [script.status(403)] * 8
    with scripted_llm(*refusing, script.answer("Thirty days [1].")) as server:
        async with gateway(endpoint("a", server)) as llm:
            for _ in refusing:
                with pytest.raises(LlmUnavailable):
                    await begun_by(llm)
            assert await _breakers(llm) == {"a": "closed"}
            assert (await begun_by(llm)).served.endpoint == "a"


async def test_streams_that_break_count_too() -> None:
    """An endpoint that begins well and never ends is as bad as one that does not begin."""
    with scripted_llm(script.cut_midway("Thirty days")) as first, scripted_llm() as second:
        breaker = BreakerSettings(failures=2, window=60, rest=60)
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2), breaker=breaker) as llm:
            for _ in range(2):
                with pytest.raises(LlmInterrupted):
                    await begun_by(llm)
            assert (await begun_by(llm)).served.endpoint == "b"


async def test_a_slow_reader_is_not_held_against_the_endpoint() -> None:
    """An answer whose reader takes longer than the deadline ends there, and the next caller is served."""
    slow = [script.slow_drip("one two three four five six", pause=0.05)] * 3
    with scripted_llm(*slow, script.answer("Thirty days [1].")) as server:
        breaker = BreakerSettings(failures=1, window=60, rest=60)
        async with gateway(endpoint("a", server), breaker=breaker, deadline=0.4) as llm:
            for _ in slow:
                with pytest.raises(LlmInterrupted):
                    await _read_slowly(llm, pause=0.3)
            assert await _breakers(llm) == {"a": "closed"}
            assert (await begun_by(llm)).served.endpoint == "a"


async def test_silence_is_held_against_the_endpoint_however_slow_its_reader() -> None:
    """What counts is how long the server let us wait while we were reading."""
    with scripted_llm(script.hang_midway("Thirty days")) as server:
        breaker = BreakerSettings(failures=1, window=60, rest=60)
        async with gateway(endpoint("a", server), breaker=breaker) as llm:
            with pytest.raises(LlmInterrupted):
                await _read_slowly(llm, pause=0.1)
            assert await _breakers(llm) == {"a": "open"}


async def test_first_words_close_a_half_open_breaker() -> None:
    """While the probe's answer is still being written, others are served too."""
    drip = script.slow_drip("word " * 500, pause=0.02)
    with scripted_llm(script.status(401), drip, script.answer("Back.")) as server:
        async with gateway(endpoint("a", server), breaker=BreakerSettings(rest=0.1)) as llm:
            with pytest.raises(LlmUnavailable):
                await begun_by(llm)
            await asyncio.sleep(0.1)
            async with llm.turn(ASKER) as turn, aclosing(turn.stream(DRAFT)) as probe:
                await anext(probe)
                assert await _breakers(llm) == {"a": "closed"}
                assert (await begun_by(llm)).served.endpoint == "a"


async def test_questions_are_spread_by_weight() -> None:
    """Among equals each is asked in proportion to its weight; a lower priority is not asked while they answer."""
    with ExitStack() as stack:
        heavy, light, spare = (stack.enter_context(scripted_llm()) for _ in range(3))
        ends = (endpoint("heavy", heavy, weight=3), endpoint("light", light), endpoint("spare", spare, priority=2))
        async with gateway(*ends) as llm:
            for _ in range(200):
                await begun_by(llm)
        assert len(spare.requests) == 0
        assert 115 <= len(heavy.requests) <= 185  # five deviations around 150


async def test_all_down_is_said_at_once() -> None:
    """With every breaker open nobody is asked and nobody waits."""
    with scripted_llm(script.status(500)) as first, scripted_llm(script.status(401)) as second:
        breaker = BreakerSettings(failures=1, window=60, rest=60)
        async with gateway(endpoint("a", first), endpoint("b", second), breaker=breaker, retries=2) as llm:
            with pytest.raises(LlmUnavailable):
                await begun_by(llm)
            asked = len(first.requests) + len(second.requests)
            started = time.monotonic()
            with pytest.raises(LlmUnavailable, match="left alone"):
                await begun_by(llm)
            assert time.monotonic() - started < 1
            assert len(first.requests) + len(second.requests) == asked == 2
            assert {state.state for state in (await llm.endpoints()).values()} == {"unavailable"}


async def test_a_second_round_asks_only_those_that_may_have_recovered() -> None:
    """Between rounds is the backoff; who refused our key is not in the next one."""
    busy = (script.status(503, retry_after=0.05), script.answer("Back."))
    with scripted_llm(*busy) as first, scripted_llm(script.status(403)) as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2), retries=1) as llm:
            assert (await begun_by(llm)).served == Served(endpoint="a", model="model-a", attempts=3)
        assert (len(first.requests), len(second.requests)) == (2, 1)


async def test_retry_after_holds_for_every_question() -> None:
    """An endpoint that asked to be left alone is not asked by the next question either; the next endpoint is."""
    with scripted_llm(script.status(429, retry_after=0.5), script.answer("Back.")) as first, scripted_llm() as second:
        async with gateway(endpoint("a", first), endpoint("b", second, priority=2)) as llm:
            served = [(await begun_by(llm)).served for _ in range(3)]
            assert [(each.endpoint, each.attempts) for each in served] == [("b", 2), ("b", 1), ("b", 1)]
            await asyncio.sleep(0.5)
            assert (await begun_by(llm)).served.endpoint == "a"


@pytest.mark.parametrize("refusal", [script.context_overflow(), script.context_overflow_in_words()], ids=str)
async def test_too_long_a_context_is_halved_once(refusal: Script) -> None:
    """The refused context is put before the model again with about half its tokens, the best passages first."""
    passages = tuple(ranked(number, f"Passage {number} " + "word " * 100) for number in range(1, 9))
    draft = Draft(question="How many days?", passages=passages)
    with scripted_llm(refusal, script.answer("Thirty [1].")) as server:
        async with gateway(endpoint("a", server)) as llm:
            begun = await begun_by(llm, draft)
        sent = [request["messages"][1]["content"] for request in server.requests]
    assert begun.passages == passages[:4]
    assert begun.served.attempts == 2
    assert 0.4 < count_tokens(sent[1]) / count_tokens(sent[0]) < 0.65
    assert "Passage 4" in sent[1]
    assert "Passage 5" not in sent[1]


async def test_a_context_that_stays_too_long_is_given_up() -> None:
    """It is shrunk once, not until it fits; a single passage is not asked for twice."""
    many = Draft(question="?", passages=tuple(ranked(number, "word " * 100) for number in range(1, 5)))
    single = Draft(question="?", passages=(ranked(1, "word " * 100),))
    with scripted_llm(script.context_overflow()) as server:
        async with gateway(endpoint("a", server), retries=2) as llm:
            for draft, asked in ((many, 2), (single, 3)):
                with pytest.raises(LlmUnavailable, match="too long"):
                    await begun_by(llm, draft)
                assert len(server.requests) == asked


async def test_each_endpoint_is_shown_what_fits_into_it() -> None:
    """Passages are packed for the endpoint that is asked: its limit, its window, its model's tokens."""
    passages: tuple[RankedPassage, ...] = tuple(ranked(number, "word " * 100) for number in range(1, 9))
    draft = Draft(question="How many days?", passages=passages)
    with scripted_llm(script.status(500)) as large, scripted_llm() as small, scripted_llm(script.status(500)) as window:
        ends = (
            endpoint("large", large),
            endpoint("window", window, priority=2, context_window=1300),
            endpoint("small", small, priority=3, max_context_tokens=300),
        )
        async with gateway(*ends, max_output_tokens=500) as llm:
            begun = await begun_by(llm, draft)
        contents = [server.requests[0]["messages"] for server in (large, window, small)]
    shown = [messages[1]["content"].count("<passage ") for messages in contents]
    assert shown[0] == 8
    assert shown[2] == len(begun.passages) == 2
    assert sum(count_tokens(message["content"]) for message in contents[1]) + 500 <= 1300
    assert 0 < shown[1] < 8


def test_known_models_are_counted_in_their_own_tokens() -> None:
    """What tiktoken knows is counted by it, anything else by the common encoding."""
    assert counter_for("no-such-model") is count_tokens
    assert counter_for("gpt-4")("Thirty days of leave.") == count_tokens("Thirty days of leave.")


async def test_an_azure_resource_is_spoken_to_in_its_own_way() -> None:
    """The deployment in the path, the version in the query, the key in its own header, and the newer token limit."""
    with scripted_llm() as server:
        azure = EndpointSettings.model_validate(
            {
                "name": "azure",
                "model": "my-deployment",
                "base_url": f"http://127.0.0.1:{server.port}",
                "api_key": "key-1",
                "azure_api_version": "2026-01-01",
            }
        )
        async with gateway(azure) as llm:
            assert (await begun_by(llm)).served.endpoint == "azure"
        assert server.paths == ["/openai/deployments/my-deployment/chat/completions?api-version=2026-01-01"]
        assert server.headers[0]["api-key"] == "key-1"
        assert "max_completion_tokens" in server.requests[0]
