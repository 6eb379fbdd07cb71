"""An answer under way, and how it goes out as server-sent events.

The answer's generator runs in a task of its own from its first step to its last: timeouts and spans inside it stay
in one task, a reader may give up waiting for the next event without breaking it, and cancelling the task stops it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from api.errors import describe, error_body
from api.schemas.answers import CitationEvent, FinishedEvent, PassagesEvent, StepEvent, TextEvent
from retrieval.domain import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    CitationFound,
    PassagesFound,
    StepTaken,
    TextDelta,
)

T = TypeVar("T")

_MOST_WAITING = 64  # events a slow reader may fall behind before the work waits for it


@dataclass(frozen=True, slots=True)
class _Ended:
    error: Exception | None


class RunningAnswer:
    """An answer being worked on. Open one with `running()`, which also stops it."""

    def __init__(self, events: AsyncGenerator[AnswerEvent, None]) -> None:
        self._waiting: asyncio.Queue[AnswerEvent | _Ended] = asyncio.Queue(_MOST_WAITING)
        self._work = asyncio.create_task(self._drive(events))

    async def next(self) -> AnswerEvent:
        """The next event. Raises what the work raised. May be cancelled: no event is lost."""
        event = await self._waiting.get()
        if isinstance(event, _Ended):
            raise event.error or RuntimeError("the answer ended without saying how")
        return event

    async def stop(self) -> None:
        """Ends the work, if it is still going on, and returns when it has let go of everything."""
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _drive(self, events: AsyncGenerator[AnswerEvent, None]) -> None:
        ended = _Ended(None)
        try:
            async with aclosing(events):
                async for event in events:
                    await self._waiting.put(event)
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            ended = _Ended(error)
        await self._waiting.put(ended)


@asynccontextmanager
async def running(events: AsyncGenerator[AnswerEvent, None]) -> AsyncIterator[RunningAnswer]:
    """Works on the answer until the block ends, however it ends."""
    answer = RunningAnswer(events)
    try:
        yield answer
    finally:
        await answer.stop()


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Cancels it and raises `ClientDisconnect` as soon as the client hangs up.

    The request's body must have been read. Once it returns, nobody listens to the client any more.
    """
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def server_sent(
    answer: RunningAnswer, first: AnswerEvent, *, request_id: str, heartbeat: float, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """The answer's events on the wire; whatever happens, the last one is `finished` or `error`.

    A comment goes out after each `heartbeat` seconds of silence. Once `stopping` is set the stream ends.
    """
    try:
        yield encoded(first, request_id)
        async with aclosing(_paced(answer, heartbeat, stopping)) as events:
            async for event in events:
                yield encoded(event, request_id) if event else KEEPALIVE_COMMENT
                if isinstance(event, AnswerFinished | AnswerFailed):
                    return
    except Exception as error:  # noqa: BLE001 - the status is long sent: all that is left is to say so
        yield _sse("error", describe(error, request_id))


async def _paced(
    answer: RunningAnswer, heartbeat: float, stopping: asyncio.Event
) -> AsyncGenerator[AnswerEvent | None, None]:
    """The answer's events as they come; None for each `heartbeat` of silence; a failure once `stopping` is set."""
    stop = asyncio.create_task(stopping.wait())
    upcoming = asyncio.create_task(answer.next())
    try:
        while True:
            done, _ = await asyncio.wait({upcoming, stop}, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if upcoming in done:
                yield upcoming.result()
                upcoming = asyncio.create_task(answer.next())
            elif stop in done:
                yield AnswerFailed(code="shutting_down", message="the server is stopping: ask again in a moment")
            else:
                yield None
    finally:
        stop.cancel()
        upcoming.cancel()


def encoded(event: AnswerEvent, request_id: str) -> bytes:
    """One event in the SSE wire format."""
    match event:
        case PassagesFound():
            return _sse("passages", PassagesEvent.found(event, request_id))
        case StepTaken():
            return _sse("step", StepEvent.of(event))
        case TextDelta():
            return _sse("text", TextEvent(text=event.text))
        case CitationFound():
            return _sse("citation", CitationEvent.of(event.citation))
        case AnswerFinished():
            return _sse("finished", FinishedEvent.of(event))
        case AnswerFailed():
            return _sse("error", error_body(event.code, event.message, request_id, event.reset_at))


def _sse(name: str, data: BaseModel) -> bytes:
    return format_sse_event(event=name, data_str=data.model_dump_json())
