"""One answer for all who ask for the same at the same time, in this process and in others.

A kept answer is taken at once. Else one leads and writes; the others wait, and have the answer when it is finished.
Whoever leads and gives up, fails or dies hands over to one of them. Nobody waits longer than a whole answer may take.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import structlog

from retrieval.caching.inquiry import Inquiry, inquiry_of
from retrieval.caching.kept import kept_form
from retrieval.caching.shelf import LEASE, Shelf
from retrieval.domain import AnswerEvent, AnswerFinished, CitationFound, Question, Retrieval, TextDelta
from retrieval.engine import Engine
from retrieval.errors import StoreUnavailable
from retrieval.reading import standing
from retrieval.stopping import stopped
from retrieval.timing import Stopwatch

_SHORTEST_POLL, _LONGEST_POLL = 0.05, 0.5
_log = structlog.get_logger(__name__)


class Flight:
    """An answer on its way to one asker, alone: neither kept nor shared."""

    arrived: AnswerFinished | None = None
    """The answer, where another has written it."""

    @property
    def leads(self) -> bool:
        """Whether the answer is this asker's to write."""
        return self.arrived is None

    async def join(self) -> None:
        """Returns when the answer has arrived, or is this asker's to write. Raises `StoreUnavailable`."""

    async def land(self, finished: AnswerFinished) -> AnswerFinished:
        """The answer as its asker gets it; kept and given to those who wait, where they may have it."""
        return finished


@asynccontextmanager
async def boarding(engine: Engine, question: Question, retrieval: Retrieval, *, asks: bool) -> AsyncIterator[Flight]:
    """The question's flight: with a kept answer, or leading, or about to follow. `asks`: an LLM is to be asked, other
    answers are cheap. Raises `StoreUnavailable`."""
    inquiry = inquiry_of(engine, question, retrieval) if asks else None
    if inquiry is None:
        yield Flight()
        return
    async with AsyncExitStack() as held:
        flight = _SharedFlight(engine, inquiry, held)
        held.callback(flight.close)
        await flight.board()
        yield flight


async def replayed(finished: AnswerFinished, watch: Stopwatch, retrieval: Retrieval) -> AsyncGenerator[AnswerEvent]:
    """The events of an answer that is there already."""
    if finished.text:
        yield TextDelta(text=finished.text)
    for citation in finished.citations:
        yield CitationFound(citation=citation)
    yield replace(finished, timings_ms={**retrieval.timings_ms, **watch.milliseconds()})


class _SharedFlight(Flight):
    def __init__(self, engine: Engine, inquiry: Inquiry, held: AsyncExitStack) -> None:
        self._engine = engine
        self._inquiry = inquiry
        self._shelf = Shelf(engine.store, engine.settings.cache, inquiry)
        self._held = held
        self._holder = uuid4()
        self._until = _now() + engine.settings.llm.deadline
        self._local: asyncio.Future[AnswerFinished | None] | None = None
        self._pilot = False
        self._leads = False
        self._landed: AnswerFinished | None = None

    @property
    def leads(self) -> bool:
        return self._leads

    async def board(self) -> None:
        """Waits for nobody."""
        self.arrived = await self._shelf.find()
        if self.arrived is None:
            await self._step_in()

    async def join(self) -> None:
        if self._settled:
            return
        try:
            async with asyncio.timeout_at(self._until):
                await self._wait()
        except TimeoutError:
            self._leads = self.arrived is None  # whoever writes it takes too long
        if self.arrived is not None:
            self.arrived = replace(self.arrived, cache="shared")

    async def land(self, finished: AnswerFinished) -> AnswerFinished:
        if self.arrived is not None:
            return finished
        self._landed = replace(finished, cache="miss")
        kept = kept_form(finished, self._inquiry.retrieval)
        try:
            if kept is not None:
                await self._shelf.keep(kept)
        except StoreUnavailable as error:
            _log.warning("answer_not_kept", reason=str(error))
        return self._landed

    def close(self) -> None:
        """Tells those who wait in this process: the answer, or that one of them leads now."""
        if self._pilot:
            self._engine.flights.land(self._inquiry.key, self.arrived or self._landed)

    @property
    def _settled(self) -> bool:
        return self._leads or self.arrived is not None

    async def _wait(self) -> None:
        pause = _SHORTEST_POLL
        while not self._settled:
            if self._local is not None:
                await self._follow(self._local)
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
                pause = min(2 * pause, _LONGEST_POLL)
                await self._claim()

    async def _step_in(self) -> None:
        """Follows who leads in this process; where nobody does, sees to it that one of all processes leads."""
        self._local = self._engine.flights.join(self._inquiry.key)
        if self._local is None:
            self._pilot = True
            await self._claim()

    async def _follow(self, local: asyncio.Future[AnswerFinished | None]) -> None:
        landed = await asyncio.shield(local)
        if landed is not None and all(await standing(self._engine.store, self._inquiry.caller, landed.citations)):
            self.arrived = _shared(landed, self._inquiry.retrieval)
        else:
            await self._step_in()

    async def _claim(self) -> None:
        if not await self._shelf.claim(self._holder):
            return
        self._held.push_async_callback(self._release)
        self._held.push_async_callback(stopped, asyncio.create_task(self._renew()))
        # Again: who had the claim until now has kept an answer before giving it up.
        self.arrived = await self._shelf.find()
        self._leads = self.arrived is None

    async def _renew(self) -> None:
        held = True
        while held:
            await asyncio.sleep(LEASE / 3)
            try:
                held = await self._shelf.renew(self._holder)
            except StoreUnavailable as error:
                _log.warning("claim_not_renewed", reason=str(error))

    async def _release(self) -> None:
        try:
            await self._shelf.release(self._holder)
        except StoreUnavailable as error:
            _log.warning("claim_not_released", reason=str(error))


def _shared(landed: AnswerFinished, retrieval: Retrieval) -> AnswerFinished:
    """What another was given, as this asker gets it: the passages are the same, what gave way may not be."""
    degraded = tuple(dict.fromkeys((*retrieval.degraded, *landed.degraded)))
    served = None if landed.served is None else replace(landed.served, attempts=0)
    return replace(landed, usage=None, cost_usd=None, served=served, degraded=degraded)


def _now() -> float:
    return asyncio.get_running_loop().time()
