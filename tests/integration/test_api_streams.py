"""Answers over HTTP: the order of events, what a failure looks like before and after the first byte, and letting go."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import httpx2
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from api import streams
from retrieval.domain import AnswerEvent, AnswerFailed, TextDelta
from retrieval.errors import AccessDenied, AnswerInterrupted, LlmInterrupted, PinciteError, StoreUnavailable
from retrieval.stopping import stopped
from tests.e2e.standing import FOUND, GOOD, QUOTE, ScriptedPath, client_of, events_of, live, scripted_app

QUESTION = {"question": "When does the gate open?"}
SOON = 2.0


async def _ask(path: ScriptedPath, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    async with client_of(scripted_app(path)) as client:
        return await client.post("/v1/answers", json=QUESTION | body, headers=headers or {})


async def test_a_good_stream_is_passages_then_words_and_citations_then_finished() -> None:
    """The events come in the promised order with the promised fields."""
    response = await _ask(ScriptedPath(*GOOD))
    events = events_of(response.text)
    assert [name for name, _ in events] == ["passages", "text", "text", "citation", "finished"]
    passages, citation, finished = events[0][1], events[3][1], events[4][1]
    assert passages["request_id"] == response.headers["x-request-id"]
    assert passages["passages"][0]["section"] == ["Opening", "Hours"]
    assert citation["quote"] == QUOTE
    assert citation["version"] == passages["passages"][0]["version"] == 3
    assert finished["outcome"] == "answered"
    assert finished["citations"] == [citation]


@pytest.mark.parametrize("stream", [True, False])
async def test_scores_go_out_rounded_and_no_legs_own_score_goes_out(stream: bool) -> None:
    """Exact ones would tell how common a word is in documents that the asker may not see."""
    response = await _ask(ScriptedPath(*GOOD), stream=stream)
    said = events_of(response.text)[0][1] if stream else response.json()
    [passage] = said["passages"]
    assert (said["confidence"], passage["score"], passage["rerank_score"]) == (0.7, 0.7, 0.8)
    assert not {"cosine", "bm25"} & set(passage)


async def test_a_stream_may_not_be_stored_or_buffered_on_its_way() -> None:
    """Its headers tell caches and proxies to keep their hands off."""
    headers = (await _ask(ScriptedPath(*GOOD))).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, {"stream": False}), ({"Accept": "application/json"}, {})],
    ids=["stream false", "accept json"],
)
async def test_one_body_says_the_same_as_the_stream(headers: dict[str, str], body: dict[str, Any]) -> None:
    """The JSON answer is the finished event and the passages."""
    events = dict(events_of((await _ask(ScriptedPath(*GOOD))).text))
    answer = (await _ask(ScriptedPath(*GOOD), headers, **body)).json()
    assert answer["passages"] == events["passages"]["passages"]
    assert answer["confidence"] == events["passages"]["confidence"]
    assert {name: answer[name] for name in events["finished"]} == events["finished"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"), [(StoreUnavailable("no database"), 503), (AccessDenied("no"), 403), (KeyError("secret"), 500)]
)
async def test_a_failure_before_the_first_byte_is_a_clean_status(error: Exception, status: int, stream: bool) -> None:
    """Nothing has been sent yet, so the status tells the truth, in both modes."""
    response = await _ask(ScriptedPath(then=error), stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["code"] == (error.code if isinstance(error, PinciteError) else "internal_error")
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (ScriptedPath(FOUND, AnswerFailed(code="llm_interrupted", message="it broke off")), "llm_interrupted"),
        (ScriptedPath(FOUND, then=LlmInterrupted("it broke off")), "llm_interrupted"),
        (ScriptedPath(FOUND, then=KeyError("secret")), "internal_error"),
        (ScriptedPath(FOUND, TextDelta(text="At ")), "internal_error"),
    ],
    ids=["failed event", "our error", "unexpected error", "no ending"],
)
async def test_a_failure_after_the_first_byte_is_the_last_event(path: ScriptedPath, code: str) -> None:
    """A stream ends in `finished` or `error`, and an unexpected error tells nothing of itself."""
    response = await _ask(path)
    name, data = events_of(response.text)[-1]
    assert (response.status_code, name, data["error"]["code"]) == (200, "error", code)
    assert data["error"]["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("code", "status", "retry_after"),
    [("llm_interrupted", 502, None), ("store_unavailable", 503, "5"), ("brand_new", 500, None)],
)
async def test_a_broken_answer_in_one_body_has_its_codes_status(
    code: str, status: int, retry_after: str | None
) -> None:
    """Half an answer is not sent as if it were one, and the status says whose fault it was."""
    failed = AnswerFailed(code=code, message="it broke off")
    response = await _ask(ScriptedPath(FOUND, TextDelta(text="At "), failed), stream=False)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers.get("retry-after") == retry_after


async def test_silence_is_filled_with_comments() -> None:
    """A proxy that cuts idle connections sees life; the event that was waited for still comes."""
    app = scripted_app(ScriptedPath(FOUND, hang=True), heartbeat=0.02)
    async with live(app) as url, httpx2.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/v1/answers", json=QUESTION) as response:
            seen = ""
            async with asyncio.timeout(SOON):
                async for text in response.aiter_text():
                    seen += text
                    if seen.count(": ping\n\n") >= 3:
                        break
        assert seen.startswith("event: passages\n")


async def test_hanging_up_mid_stream_lets_go_of_the_answer() -> None:
    """When the client leaves, the work behind the stream is closed at once, not at its next word."""
    path = ScriptedPath(FOUND, hang=True)
    async with live(scripted_app(path)) as url, httpx2.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/v1/answers", json=QUESTION) as response:
            await anext(response.aiter_text())
            assert not path.released.is_set()
        await asyncio.wait_for(path.released.wait(), SOON)


@pytest.mark.parametrize("stream", [True, False])
async def test_hanging_up_before_the_first_byte_lets_go_of_the_answer(stream: bool) -> None:
    """Also while nothing has been sent yet, and in the mode that sends everything at the end."""
    path = ScriptedPath(hang=True)
    async with live(scripted_app(path)) as url, httpx2.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/v1/answers", json=QUESTION | {"stream": stream}, timeout=0.1)
        await asyncio.wait_for(path.released.wait(), SOON)


async def test_a_reader_who_is_slow_slows_the_work_and_loses_nothing() -> None:
    """All of many events arrive, in order, though they are made faster than they are read."""
    words = [TextDelta(text=f"{number} ") for number in range(500)]
    events = events_of((await _ask(ScriptedPath(FOUND, *words, GOOD[-1]))).text)
    assert "".join(data["text"] for name, data in events if name == "text") == "".join(word.text for word in words)


async def test_a_stopping_server_ends_its_streams_with_an_error_event() -> None:
    """Clients are told to ask again instead of seeing a broken connection."""
    path = ScriptedPath(FOUND, hang=True)
    app = scripted_app(path)
    async with live(app) as url, httpx2.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/v1/answers", json=QUESTION) as response:
            chunks = response.aiter_text()
            first = await anext(chunks)
            app.state.stopping.set()
            rest = "".join([text async for text in chunks])
        assert events_of(first + rest)[-1][1]["error"]["code"] == "shutting_down"
        await asyncio.wait_for(path.released.wait(), SOON)


async def test_a_reader_who_stopped_reading_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work, which holds a place at the LLM, is let go of; who reads on is told after what was ready."""
    monkeypatch.setattr(streams, "_PATIENCE", 0.05)
    released = asyncio.Event()

    async def endless() -> AsyncGenerator[AnswerEvent, None]:
        try:
            while True:
                yield TextDelta(text="on ")
        finally:
            released.set()

    async with streams.running(endless(), "r-1") as answer:
        await asyncio.wait_for(released.wait(), SOON)
        for _ in range(streams._MOST_WAITING):
            assert (await answer.next()).name == "text"
        with pytest.raises(AnswerInterrupted):
            await answer.next()


async def test_a_slow_readers_answer_is_let_go_of_though_its_cancellation_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cleaning up failed, and there is no room to say so: whoever stops the answer does not wait for ever."""
    monkeypatch.setattr(streams, "stopped", partial(stopped, again=0.05))

    async def breaking() -> AsyncGenerator[AnswerEvent, None]:
        for _ in range(streams._MOST_WAITING):
            yield TextDelta(text="on ")
        try:
            await asyncio.Event().wait()
        finally:
            raise StoreUnavailable("its connection is gone")

    async with asyncio.timeout(SOON), streams.running(breaking(), "r-1"):
        await asyncio.sleep(0.01)


async def test_work_for_a_client_that_hung_up_ends_though_its_cancellation_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Python 3.11's `wait_for()` may lose it."""
    monkeypatch.setattr(streams, "stopped", partial(stopped, again=0.05))

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def hung_up() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async with asyncio.timeout(SOON):
        with pytest.raises(ClientDisconnect):
            await streams.while_connected(Request({"type": "http"}, hung_up), deaf())
