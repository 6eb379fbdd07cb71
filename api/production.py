"""An answer being written for whoever follows it: kept whole in memory until it has ended and is put down."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from uuid import UUID

from api.errors import describe
from api.streams import NothingLeft
from api.wire import encoded, sources_of
from retrieval.access import TenantId
from retrieval.domain import AnswerEvent
from retrieval.errors import AnswerInterrupted, PinciteError
from retrieval.keeping.shelf import Batch, Source, State, WireEvent

_STATES: Mapping[str, State] = {"finished": "finished", "error": "failed"}


class Production:
    """One attempt at an answer, in a task of its own that no reader's end ends."""

    def __init__(
        self,
        events: AsyncGenerator[AnswerEvent, None],
        release: Callable[["Production"], Awaitable[None]],
        *,
        tenant: TenantId,
        answer_id: UUID,
        request_id: str,
        max_bytes: int,
    ) -> None:
        self.tenant = tenant
        self.answer_id = answer_id
        self.events: list[WireEvent] = []
        self.state: State = "running"
        self.error: Exception | None = None  # what it failed by before it had said anything
        self._request_id = request_id
        self._room = max_bytes
        self._sources = set[Source]()
        self._written = 0
        self._followers = 0
        self._left_at = self._written_at = _now()
        self.followed_elsewhere = False
        self._kept = True
        self._news = asyncio.Event()
        self._reason: PinciteError | None = None
        self._release = release
        self._work = asyncio.create_task(self._drive(events))

    @property
    def settled(self) -> bool:
        """It has ended, and nothing of it is left to put down."""
        return self.state != "running" and (self._written == len(self.events) or not self._kept)

    @contextmanager
    def followed(self) -> Iterator["Production"]:
        """Somebody reads it, until the block ends."""
        self._followers += 1
        try:
            yield self
        finally:
            self._followers -= 1
            self._left_at = _now()

    def alone_for(self) -> float:
        """Seconds since its last reader in this process left; 0 while there is one."""
        return 0.0 if self._followers else _now() - self._left_at

    def end(self, reason: PinciteError) -> None:
        """Ends the work, if it is still going on; its last event says why."""
        if self._reason is None:  # once: a second time would break into its cleaning up
            self._reason = reason
            # Behind its beginning: cancelled before that, it would tell nobody that it ended.
            asyncio.get_running_loop().call_soon(self._work.cancel)

    async def ended(self) -> None:
        """Returns when the work has let go of everything."""
        await asyncio.wait({self._work})

    async def event(self, number: int) -> WireEvent:
        """The event of this number, as soon as there is one.

        Raises what the work failed by before the first, and `NothingLeft` behind the last.
        """
        while len(self.events) < number:
            if self.state != "running":
                raise self.error or NothingLeft
            await self._news.wait()
        return self.events[number - 1]

    def due(self, seconds: float) -> bool:
        """Whether it has something to put down, or was silent for so long that its lease is to be renewed."""
        silent = _now() - self._written_at
        news = self._written < len(self.events)
        return self._kept and (news or silent >= (seconds if self._followers else 0))

    def unwritten(self) -> Batch:
        """What was not put down yet, after `written()` was last called."""
        return Batch(
            answer_id=self.answer_id,
            state=self.state,
            events=tuple(self.events[self._written :]),
            sources=frozenset(self._sources),
        )

    def written(self, batch: Batch, *, followed_elsewhere: bool) -> None:
        """This batch is put down; whether somebody at another process reads it."""
        self.followed_elsewhere = followed_elsewhere
        self._written_at = _now()
        self._written += len(batch.events)
        self._sources -= batch.sources

    def forgotten(self) -> None:
        """It is not kept any more: it goes on for those who follow it here, and for nobody else."""
        self._kept = self.followed_elsewhere = False

    async def _drive(self, events: AsyncGenerator[AnswerEvent, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self._say(event)
            if self.state == "running":
                raise RuntimeError("the answer ended without saying how")  # noqa: TRY301 - as if it had raised it
        except asyncio.CancelledError:
            await self._fail(self._reason or AnswerInterrupted("the answer was stopped"))
        except Exception as error:  # noqa: BLE001 - handed to the readers
            await self._fail(error)

    def _say(self, event: AnswerEvent) -> None:
        said = encoded(event, len(self.events) + 1, self._request_id)
        self._room -= len(said.data.encode())
        if self._room < 0:
            raise AnswerInterrupted("the answer grew longer than is kept")
        self._sources |= sources_of(event)
        self._put(said, _STATES.get(said.name, "running"))

    async def _fail(self, error: Exception) -> None:
        if self.state != "running":
            return
        if self.events:
            data = describe(error, self._request_id).model_dump_json()
            self._put(WireEvent(number=len(self.events) + 1, name="error", data=data), "failed")
            return
        try:
            await self._release(self)  # before anybody knows of the failure: who asks again begins anew
        finally:
            self.error = error
            self.state = "failed"
            self._tell()

    def _put(self, event: WireEvent, state: State) -> None:
        self.events.append(event)
        self.state = state
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()
