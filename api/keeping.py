"""Answers that are kept: each is written once, for all who ask with its key, here or at another process.

Who asks where it is written follows it in memory; who asks elsewhere reads the shelf. What is written goes to the
shelf a few times a second, all running answers of a tenant together, so nobody's next word waits for the database.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from uuid import UUID

import structlog
from starlette.requests import Request

from api.production import Production
from api.streams import AnswerStream, NothingLeft
from retrieval.access import TenantId
from retrieval.database.generations import NONE
from retrieval.domain import AnswerEvent
from retrieval.engine import Engine
from retrieval.errors import (
    AnswerInterrupted,
    AnswerWithdrawn,
    IdempotencyKeyReused,
    NotFound,
    PinciteError,
    TenantLeaving,
)
from retrieval.keeping.identity import Owner
from retrieval.keeping.shelf import WITHDRAWN, Kept, Shelf, WireEvent
from retrieval.settings import KeepingSettings
from retrieval.stopping import stopped

_FIRST_PAUSE = 0.02
_LAST_WORDS = 3.0  # seconds that a stopping process may take to put down why its answers ended
_CAME_TO_NOTHING = "this attempt at the answer came to nothing: ask again with the same key"

_log = structlog.get_logger(__name__)


class KeptAnswers:
    """The answers this process writes, and those it only reads. Close it before its store."""

    def __init__(self, shelf: Shelf, settings: KeepingSettings) -> None:
        self._shelf = shelf
        self._settings = settings
        self._running: dict[UUID, Production] = {}
        self._writer: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def answer(
        self,
        owner: Owner,
        key: str,
        request: bytes,
        events: Callable[[], AsyncGenerator[AnswerEvent, None]],
        request_id: str,
    ) -> AsyncIterator[AnswerStream]:
        """The answer that this key stands for, from its first event; begun now, by `events`, if there is none.

        Raises `IdempotencyKeyReused`, `AnswerWithdrawn`, `AnswerInterrupted` and `StoreUnavailable`.
        """
        claim = await self._shelf.claim(owner, key, request)
        if claim.mine:
            with self._begun(owner, claim.answer_id, events(), request_id).followed() as production:
                yield _Near(production, 0)
            return
        try:
            kept = await self._shelf.read(owner, claim.answer_id, 0)
        except NotFound:
            raise AnswerInterrupted(_CAME_TO_NOTHING) from None
        async with self._following(owner, claim.answer_id, 0, kept) as stream:
            yield stream

    def _begun(
        self, owner: Owner, answer_id: UUID, events: AsyncGenerator[AnswerEvent, None], request_id: str
    ) -> Production:
        production = Production(
            events,
            self._release,
            tenant=owner.caller.tenant,
            answer_id=answer_id,
            request_id=request_id,
            max_bytes=self._settings.max_bytes,
        )
        self._running[answer_id] = production
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._keep_writing())
        return production

    @asynccontextmanager
    async def resumed(
        self, owner: Owner, answer_id: UUID, after: int = 0, request: bytes | None = None
    ) -> AsyncIterator[AnswerStream]:
        """A kept answer's events after this number; given a request, only if it is that one's answer.

        Raises `NotFound`, `IdempotencyKeyReused`, `AnswerWithdrawn`, `AnswerInterrupted` and `StoreUnavailable`.
        """
        kept = await self._shelf.read(owner, answer_id, after)
        if request not in {None, kept.request}:
            raise IdempotencyKeyReused("the answer to be resumed is another question's")
        async with self._following(owner, answer_id, after, kept) as stream:
            yield stream

    @asynccontextmanager
    async def _following(self, owner: Owner, answer_id: UUID, after: int, kept: Kept) -> AsyncIterator[AnswerStream]:
        if (production := self._running.get(answer_id)) is None:
            yield _Far(self._shelf, owner, answer_id, after, kept, self._settings)
            return
        with production.followed():
            yield _Near(production, after)

    async def close(self) -> None:
        """Ends what is being written; whoever follows it elsewhere is told."""
        productions = list(self._running.values())
        for production in productions:
            production.end(AnswerInterrupted("the server is stopping: ask again with the same key"))
        await asyncio.gather(*(production.ended() for production in productions))
        if self._writer is not None:
            await stopped(self._writer)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._write()

    async def _release(self, production: Production) -> None:
        self._running.pop(production.answer_id, None)
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._shelf.release(production.tenant, production.answer_id)
        except (PinciteError, TimeoutError) as error:
            _log.warning("kept_answer_not_released", reason=str(error))  # its lease ends by itself

    async def _keep_writing(self) -> None:
        while self._running:
            await asyncio.sleep(self._settings.flush)
            await self._write()
            self._running = {each.answer_id: each for each in self._running.values() if not self._is_done(each)}
            for production in self._running.values():
                if production.alone_for() > self._settings.grace and not production.followed_elsewhere:
                    production.end(AnswerInterrupted("nobody followed the answer any more"))

    def _is_done(self, production: Production) -> bool:
        given_up = production.state != "running" and production.alone_for() > self._settings.lease
        return production.settled or given_up

    async def _write(self) -> None:
        """Tenants side by side: one whose rows are held, as by an ingest, holds up nobody else's answers for long."""
        found = groupby(sorted(self._running.values(), key=_tenant), key=_tenant)
        await asyncio.gather(*[self._try_to_write(tenant, list(productions)) for tenant, productions in found])

    async def _try_to_write(self, tenant: TenantId, productions: list[Production]) -> None:
        try:
            await self._write_for(tenant, productions)
        except TenantLeaving as error:
            for production in productions:
                production.end(error)
                production.forgotten()
        except Exception as error:  # noqa: BLE001 - tried again, with what comes until then
            _log.warning("kept_answers_not_written", reason=str(error), exc_info=not isinstance(error, PinciteError))

    async def _write_for(self, tenant: TenantId, productions: list[Production]) -> None:
        due = [each for each in productions if each.due(self._settings.lease / 3)]
        if not due:
            return
        batches = [each.unwritten() for each in due]
        living = await self._shelf.write(tenant, batches)
        for production, batch in zip(due, batches, strict=True):
            if production.answer_id in living:
                production.written(batch, followed_elsewhere=living[production.answer_id])
            else:
                production.forgotten()
        lost = [each for each in due if each.answer_id not in living]
        withdrawn = await self._shelf.withdrawn(tenant, [each.answer_id for each in lost]) if lost else frozenset()
        for production in lost:
            if production.answer_id in withdrawn:
                production.end(AnswerWithdrawn(WITHDRAWN))


def kept_answers(engine: Engine) -> KeptAnswers:
    """The kept answers of a process that serves from this engine."""
    settings = engine.settings.keeping
    return KeptAnswers(Shelf(engine.store.on(NONE), settings), settings)


def kept_of(request: Request) -> KeptAnswers:
    """The kept answers of the application that serves this request."""
    kept: KeptAnswers = request.app.state.kept
    return kept


class _Near:
    """A reader of an answer that this process writes."""

    def __init__(self, production: Production, after: int) -> None:
        self.answer_id = production.answer_id
        self._production = production
        self._read = after

    async def next(self) -> WireEvent:
        event = await self._production.event(self._read + 1)
        self._read += 1
        return event


class _Far:
    """A reader of an answer that lies on the shelf, or is written by another process."""

    def __init__(
        self, shelf: Shelf, owner: Owner, answer_id: UUID, after: int, kept: Kept, settings: KeepingSettings
    ) -> None:
        self.answer_id = answer_id
        self._shelf, self._owner, self._settings = shelf, owner, settings
        self._read = after
        self._ahead, self._more = deque(kept.events), kept.running
        self._told_at = float("-inf")

    async def next(self) -> WireEvent:
        pause = _FIRST_PAUSE
        while not self._ahead:
            if not self._more:
                raise NothingLeft
            await self._tell()
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._settings.poll)
            await self._look()
        event = self._ahead.popleft()
        self._read = event.number
        return event

    async def _look(self) -> None:
        try:
            kept = await self._shelf.read(self._owner, self.answer_id, self._read)
        except NotFound:
            raise AnswerInterrupted(_CAME_TO_NOTHING) from None
        self._ahead.extend(kept.events)
        self._more = kept.running

    async def _tell(self) -> None:
        """Tells the writing process, now and then, that somebody reads what it writes."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= self._settings.grace / 3:
            await self._shelf.follow(self._owner, self.answer_id, self._settings.grace + self._settings.poll)
            self._told_at = now


def _tenant(production: Production) -> TenantId:
    return production.tenant
