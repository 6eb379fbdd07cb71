"""One endpoint as the gateway sees it: its way of packing, its line, its breaker, its word to come back later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from retrieval.admission import Admission
from retrieval.domain import RankedPassage, Served
from retrieval.endpoints import EndpointSettings
from retrieval.generation.chat import SERVER, ChatClient, Reply
from retrieval.generation.drafts import Drafted
from retrieval.generation.llm import EndpointState
from retrieval.generation.packing import counter_for, pack, passage_tokens
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.upstream.breaker import Breaker
from retrieval.upstream.faults import Fault, Passing, Refused, TooLong

_TEMPLATE_TOKENS = 64
"""What a chat template puts around two turns; most take ten."""


@dataclass(slots=True)
class Tally:
    """Counts the calls that one answer takes."""

    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A reply that has begun, by whom, and the passages that were shown."""

    reply: Reply
    passages: tuple[RankedPassage, ...]
    served: Served


class Endpoint:
    """Asked through its breaker, and by no more at once than it is set to take: take a turn in `line` first."""

    def __init__(self, endpoint: EndpointSettings, settings: LlmSettings, breaker: BreakerSettings) -> None:
        self.settings = endpoint
        self.breaker = Breaker(endpoint.name, breaker)
        self.line = Admission(endpoint.concurrency or settings.concurrency, settings.waiting, settings.patience)
        self._limits = settings
        self._longest_hold = breaker.rest
        self._held_until = 0.0
        self._client = ChatClient(endpoint, settings)
        self._count = counter_for(endpoint.model)

    @property
    def admits(self) -> bool:
        """Whether it may be asked now."""
        return self.breaker.admits and self._on_hold() <= 0

    def check(self) -> None:
        """Raises `Fault` where it may not be asked now."""
        if (left := self._on_hold()) > 0:
            raise Passing(f"{SERVER} asked to be left alone for now", left)
        self.breaker.check()

    @asynccontextmanager
    async def reply(self, draft: Drafted, deadline: float, tally: Tally) -> AsyncIterator[Beginning]:
        """An answer that has begun; leaving the block ends the upstream call. Raises `Fault`, also into the block.

        Where the context is refused as too long, about half of it is put before the model once more.
        """
        self.check()
        with self.breaker.call() as answers:
            try:
                async with AsyncExitStack() as call:
                    begun = await self._begun(call, draft, deadline, tally)
                    answers()
                    yield begun
            except Passing as fault:
                self._hold(fault)
                raise

    async def state(self) -> EndpointState:
        """Asks it for a sign of life. Never raises."""
        breaker = self.breaker.state
        try:
            await self._client.ping()
        except Fault as fault:
            return EndpointState(state="unavailable", breaker=breaker, detail=str(fault))
        if breaker == "open":
            return EndpointState(state="unavailable", breaker=breaker, detail="it answers, but its calls fail")
        return EndpointState(state="ready", breaker=breaker, detail=self.settings.model)

    async def close(self) -> None:
        await self._client.close()

    async def _begun(self, call: AsyncExitStack, draft: Drafted, deadline: float, tally: Tally) -> Beginning:
        shown = self._packed(draft)
        try:
            return await self._asked(call, draft, shown, deadline, tally)
        except TooLong:
            half = sum(passage_tokens(ranked, self._count) for ranked in shown) // 2
            fewer = pack(shown, half, self._count)
            if len(fewer) == len(shown):
                raise
            return await self._asked(call, draft, fewer, deadline, tally)
        except Refused:
            if (plain := draft.plain()) is None:
                raise
            return await self._begun(call, plain, deadline, tally)

    async def _asked(
        self, call: AsyncExitStack, draft: Drafted, shown: tuple[RankedPassage, ...], deadline: float, tally: Tally
    ) -> Beginning:
        tally.calls += 1
        reply = await call.enter_async_context(self._client.reply(draft.prompt(shown), deadline))
        served = Served(endpoint=self.settings.name, model=self.settings.model, attempts=tally.calls)
        return Beginning(reply=reply, passages=shown, served=served)

    def _packed(self, draft: Drafted) -> tuple[RankedPassage, ...]:
        """What was found first, and as much again of what tools brought, the latest before the older."""
        limit = self.settings.max_context_tokens or self._limits.max_context_tokens
        window = self.settings.context_window or self._limits.context_window
        room = 2 * limit
        if window is not None:
            room = min(room, window - self._limits.max_output_tokens - self._around(draft))
        shares = 2 if draft.brought else 1
        first = pack(draft.passages, min(limit, room // shares), self._count)
        left = min(limit, room - sum(passage_tokens(ranked, self._count) for ranked in first))
        fitting = [ranked for ranked in draft.brought if passage_tokens(ranked, self._count) <= left]
        return (*first, *pack(fitting, left, self._count))

    def _around(self, draft: Drafted) -> int:
        """Tokens of the prompt without its passages, and what a chat template adds."""
        return sum(map(self._count, draft.prompt(()).texts)) + _TEMPLATE_TOKENS

    def _on_hold(self) -> float:
        return self._held_until - asyncio.get_running_loop().time()

    def _hold(self, fault: Passing) -> None:
        # No longer than a breaker would: a server may name hours, and be well in a minute.
        seconds = min(fault.retry_after or 0.0, self._longest_hold)
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)
