"""An answer under way, and how it goes out as server-sent events.

The answer's generator runs in a task of its own from its first step to its last: timeouts and spans inside it stay
in one task, a reader may give up waiting for the next event without breaking it, and cancelling the task stops it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.requests import ClientDisconnect, Request

from api.errors import describe, error_body
from api.wire import LAST, encoded, server_sent_event, unnumbered_event
from retrieval.domain import AnswerEvent
from retrieval.errors import AnswerInterrupted
from retrieval.keeping.shelf import WireEvent
from retrieval.stopping import stopped

T = TypeVar("T")

_MOST_WAITING = 64  # events a slow reader may fall behind before the work waits for it
_PATIENCE = 60.0  # seconds that it waits: it holds a place at the LLM, and others stand in line


@dataclass(frozen=True, slots=True)
class _Ended:
    error: Exception | None


class _Stopping(Exception):
    pass


class NothingLeft(Exception):
    """The answer has ended, and its reader has all of it."""


class AnswerStream(Protocol):
    """An answer's events on their way to one reader."""

    @property
    def answer_id(self) -> UUID: ...

    async def next(self) -> WireEvent:
        """The next event. Raises what the work raised, and `NothingLeft` after the last event.

        May be cancelled: no event is lost.
        """


class RunningAnswer:
    """An answer being worked on for one reader. Open one with `running()`, which also stops it."""

    def __init__(self, events: AsyncGenerator[AnswerEvent, None], request_id: str) -> None:
        self.answer_id = uuid4()
        self._waiting: asyncio.Queue[WireEvent | _Ended] = asyncio.Queue(_MOST_WAITING)
        self._work = asyncio.create_task(self._drive(events, request_id))

    async def next(self) -> WireEvent:
        """The next event. Raises what the work raised. May be cancelled: no event is lost."""
        event = await self._waiting.get()
        if isinstance(event, _Ended):
            raise event.error or RuntimeError("the answer ended without saying how")
        return event

    async def stop(self) -> None:
        """Ends the work, if it is still going on, and returns when it has let go of everything."""
        await stopped(self._work)

    async def _drive(self, events: AsyncGenerator[AnswerEvent, None], request_id: str) -> None:
        ended = _Ended(None)
        try:
            async with aclosing(events):
                number = 0
                async for event in events:
                    number += 1
                    await self._hand_over(encoded(event, number, request_id))
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            ended = _Ended(error)
        await self._waiting.put(ended)

    async def _hand_over(self, event: WireEvent) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._waiting.put(event)
        except TimeoutError:
            raise AnswerInterrupted("the answer was not read for too long: ask again") from None


@asynccontextmanager
async def running(events: AsyncGenerator[AnswerEvent, None], request_id: str) -> AsyncIterator[RunningAnswer]:
    """Works on the answer until the block ends, however it ends."""
    answer = RunningAnswer(events, request_id)
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
        await stopped(working, listening)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def server_sent(
    answer: AnswerStream, first: WireEvent, *, request_id: str, heartbeat: float, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """The answer's events on the wire; whatever happens, the last one is `finished` or `error`.

    A comment goes out after each `heartbeat` seconds of silence. Once `stopping` is set the stream ends.
    """
    try:
        yield server_sent_event(answer.answer_id, first)
        async with aclosing(_paced(answer, first, heartbeat, stopping)) as events:
            async for event in events:
                yield server_sent_event(answer.answer_id, event) if event else KEEPALIVE_COMMENT
    except _Stopping:
        message = "the server is stopping: ask again in a moment"
        yield unnumbered_event("error", error_body("shutting_down", message, request_id))
    except Exception as error:  # noqa: BLE001 - the status is long sent: all that is left is to say so
        yield unnumbered_event("error", describe(error, request_id))


async def _paced(
    answer: AnswerStream, first: WireEvent, heartbeat: float, stopping: asyncio.Event
) -> AsyncGenerator[WireEvent | None, None]:
    """The events after the first, to the last; None for each `heartbeat` of silence. Raises once `stopping` is set."""
    last = first
    stop = asyncio.create_task(stopping.wait())
    upcoming = asyncio.create_task(answer.next())
    try:
        while last.name not in LAST:
            done, _ = await asyncio.wait({upcoming, stop}, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if upcoming in done:
                yield (last := upcoming.result())
                upcoming = asyncio.create_task(answer.next())
            elif stop in done:
                raise _Stopping
            else:
                yield None
    finally:
        stop.cancel()
        upcoming.cancel()
