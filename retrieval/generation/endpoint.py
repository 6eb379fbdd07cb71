"""One endpoint as the gateway sees it: its way of packing, its line, its breaker, its word to come back later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import ceil

from retrieval.access import Caller
from retrieval.admission import Admission
from retrieval.domain import Origin, RankedPassage, Served
from retrieval.endpoints import EndpointSettings, Price
from retrieval.generation.chat import SERVER, ChatClient, Reply
from retrieval.generation.drafts import Drafted
from retrieval.generation.llm import EndpointState
from retrieval.generation.packing import counter_for, pack, passage_tokens
from retrieval.generation.prompting import Prompt
from retrieval.generation.reply import ReplyText
from retrieval.generation.transcripts import of_answer, of_prompt
from retrieval.model_calls import CalledModel, ModelCallMeasures, model_call
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.spending.books import Books
from retrieval.spending.ledger import Order
from retrieval.spending.prices import usd
from retrieval.upstream.breaker import Breaker
from retrieval.upstream.faults import Fault, Passing, Refused, TooLong, Withheld

_TEMPLATE_TOKENS = 64
"""What a chat template puts around two turns; most take ten."""


_OTHER_TOKENIZER = 1.5
"""How many more tokens than by our count a prompt is paid for: the model may cut it into smaller ones than we do."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """For whom an answer is written, how many calls that takes, and what they cost."""

    caller: Caller
    origin: Origin = field(default_factory=Origin)
    calls: int = 0
    nano_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A reply that has begun, by whom, and the passages that were shown."""

    reply: Reply
    passages: tuple[RankedPassage, ...]
    served: Served


@dataclass(frozen=True, slots=True)
class Meter:
    """What an endpoint's calls are booked in, priced by (None: unknown) and measured with."""

    books: Books
    price: Price | None
    measures: ModelCallMeasures


class Endpoint:
    """Asked through its breaker, and by no more at once than it is set to take: take a turn in `line` first."""

    def __init__(
        self,
        endpoint: EndpointSettings,
        settings: LlmSettings,
        breaker: BreakerSettings,
        meter: Meter,
    ) -> None:
        self.settings = endpoint
        self.breaker = Breaker(endpoint.name, breaker)
        self.line = Admission(endpoint.concurrency or settings.concurrency, settings.waiting, settings.patience)
        self._meter = meter
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

        Each call is booked: raises `BudgetExhausted` where one cannot be paid for, and `StoreUnavailable`.
        Where the context is refused as too long, about half of it is put before the model once more.
        """
        self.check()
        asked = (draft.plain() or draft) if draft.sends_schema and self.settings.json_schema == "off" else draft
        with self.breaker.call() as answers:
            try:
                async with AsyncExitStack() as call:
                    begun = await self._begun(call, asked, deadline, tally)
                    answers()
                    yield begun
            except Passing as fault:
                self._hold(fault)
                raise

    def order(self, draft: Drafted, tally: Tally) -> Order:
        """What asking it for this would take at most."""
        return self._order(draft.prompt(self._packed(draft)), tally)

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
        except Withheld:
            raise
        except Refused:
            if (simpler := self._simpler(draft)) is None:
                raise
            return await self._begun(call, simpler, deadline, tally)

    async def _asked(
        self, call: AsyncExitStack, draft: Drafted, shown: tuple[RankedPassage, ...], deadline: float, tally: Tally
    ) -> Beginning:
        reply = await call.enter_async_context(self._called(draft.prompt(shown), deadline, tally))
        served = Served(
            endpoint=self.settings.name, model=self.settings.model, attempts=tally.calls, tier=self.settings.tier
        )
        return Beginning(reply=reply, passages=shown, served=served)

    def _simpler(self, draft: Drafted) -> Drafted | None:
        """The draft for a server that did not take it as it was; None where there is no other way to ask."""
        return None if draft.sends_schema and self.settings.json_schema == "on" else draft.plain()

    @asynccontextmanager
    async def _called(self, prompt: Prompt, deadline: float, tally: Tally) -> AsyncIterator[Reply]:
        """A call whose most is reserved before it is made, and which is settled when it has ended, however it did."""
        async with self._meter.books.call(self._order(prompt, tally)) as booking:
            tally.calls += 1
            text = ReplyText(prompt, booking.output_tokens)
            with model_call(self._described(tally.calls, booking.output_tokens), self._meter.measures) as call:
                try:
                    async with self._client.reply(text, deadline) as reply:
                        call.began()
                        yield reply
                finally:
                    booking.usage = text.taken or booking.usage
                    tally.nano_usd += booking.nano_usd
                    call.took(booking.usage, usd(booking.nano_usd))
                    if self._meter.measures.content:
                        call.said(of_prompt(prompt), of_answer(text.text))

    def _described(self, attempt: int, max_tokens: int) -> CalledModel:
        return CalledModel(
            endpoint=self.settings.name,
            provider=self.settings.provider,
            model=self.settings.model,
            attempt=attempt,
            breaker=self.breaker.state,
            max_tokens=max_tokens,
            tier=self.settings.tier,
        )

    def _order(self, prompt: Prompt, tally: Tally) -> Order:
        tokens = sum(map(self._count, prompt.texts))
        return Order(
            caller=tally.caller,
            origin=tally.origin,
            endpoint=self.settings.name,
            model=self.settings.model,
            price=self._meter.price,
            prompt_tokens=ceil(tokens * _OTHER_TOKENIZER) + _TEMPLATE_TOKENS,
            output_tokens=prompt.most_tokens or self._limits.max_output_tokens,
        )

    def _packed(self, draft: Drafted) -> tuple[RankedPassage, ...]:
        """What was found first, and as much again of what tools brought, the latest before the older."""
        limit = self.settings.max_context_tokens or self._limits.max_context_tokens
        window = self.settings.context_window or self._limits.context_window
        room = 2 * limit
        if window is not None:
            room = min(room, window - self._limits.max_output_tokens - self._around(draft))
        if not draft.brought:
            return pack(draft.passages, min(limit, room), self._count)
        first = pack(draft.passages, min(limit, room // 2), self._count)
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
