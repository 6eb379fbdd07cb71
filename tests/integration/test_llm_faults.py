"""The gateway against a server that fails in every way we know of."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest

from retrieval.access import caller, tenant_id
from retrieval.domain import Served, Usage
from retrieval.errors import InvalidSettings, LlmInterrupted, LlmUnavailable
from retrieval.generation import chat
from retrieval.generation.drafts import Draft
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Begun, ToolsAsked
from retrieval.settings import LlmSettings
from tests.llm_servers import scripted as script
from tests.llm_servers.scripted import Script, ScriptedLlm, scripted_llm

DRAFT = Draft(question="How many days?", passages=())
ACME = tenant_id("acme")
ASKER = caller("acme", ())

Pieces = list[Begun | ToolsAsked | str | Usage]


async def _ask(server: ScriptedLlm, **overrides: Any) -> tuple[str, Usage]:
    """The whole text and its usage, checked to come in that order."""
    given: Pieces = []
    await _collect(server.settings(**overrides), given)
    begun, *text, usage = given
    assert isinstance(begun, Begun)
    assert isinstance(usage, Usage)
    return _text(text), usage


async def _pieces_until_error(server: ScriptedLlm, **overrides: Any) -> tuple[str, LlmUnavailable]:
    given: Pieces = []
    with pytest.raises(LlmUnavailable) as caught:
        await _collect(server.settings(**overrides), given)
    return _text(given), caught.value


async def _collect(settings: LlmSettings, given: Pieces) -> None:
    llm = LlmGateway(settings)
    try:
        async with llm.turn(ASKER) as turn:
            async for piece in turn.stream(DRAFT):
                given.append(piece)
    finally:
        await llm.close()


def _text(pieces: Pieces) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


async def test_text_then_usage() -> None:
    """A good stream is its text in pieces, then the provider's own usage, once."""
    with scripted_llm(script.answer("Thirty days [1].", usage=(21, 4))) as server:
        text, usage = await _ask(server)
    assert text == "Thirty days [1]."
    assert usage == Usage(prompt_tokens=21, completion_tokens=4, estimated=False)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("Smile \ud83d", "\ude00!"), "Smile 😀!"),
        (("\ud83d", "\ude00"), "😀"),
        (("Half \ud83d", "word", "\ude00 end"), "Half \ufffdword\ufffd end"),
        (("cut \ud83d",), "cut \ufffd"),
    ],
)
async def test_a_cut_character_harms_nothing(pieces: tuple[str, ...], text: str) -> None:
    """Servers cut emoji in two: the halves are joined, a half alone is replaced, and every piece can be written."""
    with scripted_llm(script.answer(pieces)) as server:
        assert (await _ask(server))[0] == text


async def test_the_request_is_bounded_and_streamed() -> None:
    """What goes upstream is a stream with usage and a token limit, and never a key we were not given."""
    with scripted_llm() as server:
        await _ask(server, max_output_tokens=77)
        request, headers = server.requests[0], server.headers[0]
    assert request["stream"] is True
    assert request["stream_options"] == {"include_usage": True}
    assert request["max_tokens"] == 77
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert headers["authorization"] == "Bearer none"


async def test_missing_usage_is_estimated() -> None:
    """A provider that does not say what it used is estimated, and the usage says so."""
    with scripted_llm(script.answer("Thirty days [1].", usage=None)) as server:
        _, usage = await _ask(server)
    assert usage.estimated
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0


async def test_truncated_by_its_limit_is_an_answer() -> None:
    """An answer that reached the token limit is kept."""
    with scripted_llm(script.answer("Thirty days and", finish_reason="length")) as server:
        assert (await _ask(server))[0] == "Thirty days and"


async def test_a_server_that_ignores_the_limit_is_stopped() -> None:
    """No server can make an answer endless: it ends where eight characters per allowed token are reached."""
    with scripted_llm(script.answer(["x" * 50] * 1000)) as server:
        text, _ = await _ask(server, max_output_tokens=10)
    assert len(text) == 80


async def test_retry_after_is_honoured() -> None:
    """After a 429 the next try waits as long as the server asks, and the answer comes."""
    with scripted_llm(script.status(429, retry_after=0.2), script.answer("Thirty days [1].")) as server:
        started = time.monotonic()
        text, _ = await _ask(server, retries=1)
        assert len(server.requests) == 2
    assert text == "Thirty days [1]."
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        (script.status(500, retry_after=0.01), 3),
        (script.status(429, retry_after=0.01), 3),
        (script.status(408, retry_after=0.01), 1),
        (script.status(409, retry_after=0.01), 1),
        (script.status(400), 1),
        (script.status(401), 1),
        (script.status(403), 1),
        (script.status(404), 1),
        (script.status(422), 1),
        (script.context_overflow(), 1),
        (script.context_overflow_in_words(), 1),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Script) else None,
)
async def test_only_what_may_pass_is_retried(fault: Script, tries: int) -> None:
    """Overload and server errors are tried `retries` times more; any other 4xx is not."""
    with scripted_llm(fault) as server:
        _, error = await _pieces_until_error(server, retries=2)
        assert len(server.requests) == tries
    assert type(error) is LlmUnavailable


@pytest.mark.parametrize(
    "fault",
    [
        script.status(500),
        script.status(429),
        script.loading(),
        script.context_overflow(),
        script.context_overflow_in_words(),
        script.status(401),
        script.hang_before_first_token(),
        script.empty(),
        script.answer("", usage=None),
        script.answer([], finish_reason=None),
        script.answer([], finish_reason="content_filter"),
        script.cut_midway(""),
        script.gibberish("not json"),
        script.gibberish("5"),
        script.too_deep(),
        script.gibberish('{"choices": [{"delta": 7}]}'),
        script.gibberish('{"error": {"message": "SECRET"}}'),
    ],
    ids=str,
)
async def test_failing_before_the_first_token_is_unavailable(fault: Script) -> None:
    """Whatever fails before a word was given is `LlmUnavailable` itself, with a message that gives nothing away."""
    with scripted_llm(fault) as server:
        text, error = await _pieces_until_error(server)
        _assert_safe(error, server)
    assert text == ""
    assert type(error) is LlmUnavailable
    assert error.__cause__ is not None or "answer" in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        script.hang_midway("Thirty days"),
        script.cut_midway("Thirty days"),
        script.answer("Thirty days", finish_reason=None),
        script.answer("Thirty days", finish_reason="content_filter"),
        script.error_event("Thirty days"),
    ],
    ids=["hang", "cut", "no finish_reason", "withheld", "error event"],
)
async def test_failing_after_the_first_token_is_an_interruption(fault: Script) -> None:
    """Whatever fails after a word was given is `LlmInterrupted`, and what was given stands."""
    with scripted_llm(fault) as server:
        text, error = await _pieces_until_error(server)
        _assert_safe(error, server)
    assert text.strip() == "Thirty days"
    assert type(error) is LlmInterrupted


def _assert_safe(error: LlmUnavailable, server: ScriptedLlm) -> None:
    shown = str(error)
    assert "SECRET" not in shown
    assert str(server.port) not in shown
    assert "none" not in shown


async def test_a_slow_drip_meets_the_deadline() -> None:
    """A stream whose every pause is short still ends at the overall deadline."""
    with scripted_llm(script.slow_drip("one two three four five six seven eight nine ten", pause=0.15)) as server:
        started = time.monotonic()
        text, error = await _pieces_until_error(server, deadline=0.6)
    assert type(error) is LlmInterrupted
    assert text.startswith("one ")
    assert time.monotonic() - started < 1.2


async def test_the_deadline_covers_retries() -> None:
    """A server that asks us to come back in a minute does not make the caller wait a minute."""
    with scripted_llm(script.status(429, retry_after=60)) as server:
        started = time.monotonic()
        _, error = await _pieces_until_error(server, deadline=0.4, retries=2)
    assert type(error) is LlmUnavailable
    assert time.monotonic() - started < 1.0


async def test_a_server_that_hangs_after_the_answer_harms_nothing() -> None:
    """Once the model said it is done, a missing end costs the usage only."""
    whole = script.answer("Thirty days [1].", usage=None)
    hanging = Script(events=whole.events, hang_at_end=True)
    with scripted_llm(hanging) as server:
        text, usage = await _ask(server)
    assert text == "Thirty days [1]."
    assert usage.estimated


async def test_the_deadline_covers_the_wait_for_the_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long usage may be waited for: not longer than the answer may take."""
    monkeypatch.setattr(chat, "_USAGE_PATIENCE", 3600.0)
    hanging = Script(events=script.answer("Thirty days [1].", usage=None).events, hang_at_end=True)
    with scripted_llm(hanging) as server:
        async with asyncio.timeout(20.0):
            text, usage = await _ask(server, deadline=1.0, token_timeout=3600.0)
    assert text == "Thirty days [1]."
    assert usage.estimated


async def test_nothing_listens() -> None:
    """A port where nobody listens is `LlmUnavailable`, and its endpoint is not ready."""
    with scripted_llm() as server:
        settings = server.settings()
    given: Pieces = []
    with pytest.raises(LlmUnavailable):
        await _collect(settings, given)
    assert given == []
    llm = LlmGateway(settings)
    assert [state.state for state in (await llm.endpoints()).values()] == ["unavailable"]
    await llm.close()


async def test_leaving_early_ends_the_upstream_call() -> None:
    """A reader that goes away takes the upstream connection along."""
    with scripted_llm(script.slow_drip("word " * 500, pause=0.02)) as server:
        llm = LlmGateway(server.settings())
        async with llm.turn(ASKER) as turn, aclosing(turn.stream(DRAFT)) as pieces:
            begun = await anext(pieces)
            assert isinstance(begun, Begun)
            assert begun.served == Served(endpoint="default", model="scripted", attempts=1)
            assert await anext(pieces)
        assert await asyncio.to_thread(server.wait_for, lambda state: state.disconnects == 1)
        await llm.close()


async def test_cancelling_ends_the_upstream_call() -> None:
    """A cancelled task takes the upstream connection along, even before the first token."""
    with scripted_llm(script.hang_before_first_token()) as server:
        task = asyncio.create_task(_collect(server.settings(token_timeout=30, deadline=60), []))
        assert await asyncio.to_thread(server.wait_for, lambda state: len(state.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for, lambda state: state.disconnects == 1)


async def test_an_endpoints_state_is_whether_it_answers() -> None:
    """It is ready when its models can be listed and not, asked once and without retries, while they are loading."""
    with scripted_llm() as server:
        llm = LlmGateway(server.settings(retries=2))
        assert (await llm.endpoints())["default"].state == "ready"
        server.models_status = 503
        assert (await llm.endpoints())["default"].state == "unavailable"
        assert len(server.headers) == 2
        await llm.close()


def test_a_gateway_needs_a_model() -> None:
    """Without a model's name there is nothing to ask."""
    with pytest.raises(InvalidSettings):
        LlmGateway(LlmSettings(model=None))
