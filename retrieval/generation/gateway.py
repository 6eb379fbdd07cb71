"""The gateway to language models: several endpoints, one answer.

A round asks the endpoints in order until one has its first words: by priority, among equals by chance and weight,
past those whose breaker is open, and where there are tiers, by tier before all. Only when all have failed, and one of
them in passing, is there another round: for who has a place at one of them, and keeps it while it waits. Once the first
words are given there is no going back: what fails then is `LlmInterrupted`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from decimal import Decimal

import structlog

from retrieval.access import Caller, TenantId
from retrieval.domain import NOTHING_SPENT, Origin, Tier, Usage
from retrieval.errors import BudgetExhausted, InvalidSettings, LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.chat import SERVER, Reply
from retrieval.generation.drafts import Drafted
from retrieval.generation.endpoint import Beginning, Endpoint, Meter, Tally
from retrieval.generation.llm import Begun, EndpointState, ToolsAsked
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.spending.books import Books, Unbooked
from retrieval.spending.ledger import soonest
from retrieval.spending.prices import Prices, load_prices, usd
from retrieval.telemetry import Telemetry
from retrieval.upstream.faults import Fault, Passing, Refused, Resting
from retrieval.upstream.retrying import retrying

_log = structlog.get_logger(__name__)


def name_of(settings: LlmSettings) -> str:
    """What the gateway to these servers is called: by its models."""
    return ", ".join(dict.fromkeys(server.model for server in settings.servers))


class LlmGateway:
    """An `Llm` over all configured endpoints."""

    def __init__(
        self,
        settings: LlmSettings,
        breaker: BreakerSettings | None = None,
        books: Books | None = None,
        prices: Prices | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        if not settings.servers:
            raise InvalidSettings("setting LlmSettings.model: needed to ask a language model")
        self._settings = settings
        limits = breaker or BreakerSettings()
        prices = prices or load_prices(None)
        self._books = books or Unbooked()
        measures = (telemetry or Telemetry()).model_calls
        self._cascades = len({server.tier for server in settings.servers}) > 1
        self._endpoints = [
            Endpoint(server, settings, limits, Meter(self._books, prices.of(server), measures))
            for server in settings.servers
        ]

    @property
    def name(self) -> str:
        return name_of(self._settings)

    @asynccontextmanager
    async def turn(
        self, caller: Caller, origin: Origin | None = None, start: Tier = "small"
    ) -> AsyncIterator["GatewayTurn"]:
        """A place at the first endpoint that has one free, else in the shortest line. Raises `Overloaded`.

        Where there are tiers, in this one, and in the other when its lines are full. Where no endpoint may be asked now
        there is no line either: the turn's stream says so at once.
        """
        drawn = sorted(self._endpoints, key=_drawn)
        order = sorted(drawn, key=lambda endpoint: self._cascades and endpoint.settings.tier != start)
        closed = [endpoint for endpoint in order if endpoint.breaker.admits]
        async with aclosing(Seat(caller.tenant)) as seat:
            await _take_place(seat, [endpoint for endpoint in closed if endpoint.admits] or closed)
            tally = Tally(caller=caller, origin=origin or Origin())
            yield GatewayTurn(self._settings, order, seat, self._books, tally, cascades=self._cascades)

    async def endpoints(self) -> Mapping[str, EndpointState]:
        """The state of each endpoint, by name. Never raises."""
        states = await asyncio.gather(*(endpoint.state() for endpoint in self._endpoints))
        return {endpoint.settings.name: state for endpoint, state in zip(self._endpoints, states, strict=True)}

    async def close(self) -> None:
        """Gives connections back; nothing may be streaming."""
        await self._books.close()
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))


class Seat:
    """The one place that a turn holds at a time."""

    def __init__(self, tenant: TenantId) -> None:
        self._tenant = tenant
        self._place = AsyncExitStack()
        self.endpoint: Endpoint | None = None

    async def move(self, endpoint: Endpoint) -> None:
        """Gives up the place for one at this endpoint, unless it is there. Raises `Overloaded`, then without a place.

        Given up first: two turns that wait for each other's places would both wait in vain.
        """
        if endpoint is not self.endpoint:
            await self.aclose()
            await self._place.enter_async_context(endpoint.line.turn(self._tenant))
            self.endpoint = endpoint

    async def aclose(self) -> None:
        """Gives the place up."""
        self.endpoint = None
        await self._place.aclose()


class GatewayTurn:
    """One answer: whom to ask for it, in which order, and the place it holds."""

    def __init__(
        self,
        settings: LlmSettings,
        order: list[Endpoint],
        seat: Seat,
        books: Books,
        tally: Tally,
        *,
        cascades: bool,
    ) -> None:
        self._settings = settings
        self._order = order
        self._seat = seat
        self._books = books
        self._tally = tally
        self._cascades = cascades
        self._deadline = _now() + settings.deadline
        self._replies = list[Reply]()

    @property
    def cascades(self) -> bool:
        """Whether there are a small and a large tier."""
        return self._cascades

    @property
    def usage(self) -> Usage:
        """What all calls took so far that began to answer."""
        return sum((reply.usage for reply in self._replies), NOTHING_SPENT)

    @property
    def cost_usd(self) -> Decimal | None:
        """As `retrieval.generation.llm.Turn` promises."""
        return usd(self._tally.nano_usd) if self._tally.calls else None

    async def check_budget(self, draft: Drafted) -> None:
        """As `retrieval.generation.llm.Turn` promises."""
        if orders := [endpoint.order(draft, self._tally) for endpoint in self._order if endpoint.admits]:
            await self._books.check(orders)

    async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        """As `retrieval.generation.llm.Turn` promises."""
        deadline, error = self._deadline, LlmUnavailable
        self._order.sort(key=lambda endpoint: endpoint is not self._seat.endpoint)
        try:
            async with AsyncExitStack() as held:
                ask = retrying(self._settings.retries, deadline)
                begun: Beginning = await ask(self._round, draft, deadline, held)
                reply = begun.reply
                self._replies.append(reply)
                if reply.calls:
                    yield ToolsAsked(calls=reply.calls, text=reply.preamble)
                else:
                    error = LlmInterrupted
                    yield Begun(served=begun.served, passages=begun.passages)
                async with aclosing(reply.pieces(deadline)) as pieces:
                    async for piece in pieces:
                        yield piece
                yield reply.usage
        except Fault as fault:
            if error is LlmInterrupted:
                self._order = [endpoint for endpoint in self._order if endpoint is not self._seat.endpoint]
            raise error(str(fault)) from fault

    def escalate(self) -> None:
        """From now on only the large tier is asked."""
        self._order = [endpoint for endpoint in self._order if endpoint.settings.tier == "large"]

    async def leave(self) -> None:
        """Gives the place up."""
        await self._seat.aclose()

    async def _round(self, draft: Drafted, deadline: float, held: AsyncExitStack) -> Beginning:
        """Asks each endpoint once, until one begins. Raises `Passing` when another round may help, else what failed.

        One that the budgets do not allow is passed over; where that was all that kept them, `BudgetExhausted`.
        """
        passing, lasting, refused = list[Passing](), list[Fault](), list[BudgetExhausted]()
        for endpoint in tuple(self._order):
            try:
                return await self._begin(endpoint, draft, deadline, held)
            except BudgetExhausted as refusal:
                refused.append(refusal)
                self._order.remove(endpoint)
            except Refused:
                raise
            except Fault as fault:
                _log.warning("llm_call_failed", endpoint=endpoint.settings.name, reason=str(fault))
                if isinstance(fault, Passing) and endpoint.breaker.state != "open":
                    passing.append(fault)
                else:
                    lasting.append(Resting(str(fault)) if isinstance(fault, Passing) else fault)
                    self._order.remove(endpoint)
        if not passing:
            raise _hopeless(lasting, refused)
        together = _together(passing)
        if self._seat.endpoint is None or (together.retry_after or 0.0) > self._settings.patience:
            raise Resting(str(together))
        raise together

    async def _begin(self, endpoint: Endpoint, draft: Drafted, deadline: float, held: AsyncExitStack) -> Beginning:
        if _now() >= deadline:
            raise Resting(f"{SERVER} did not respond in time")
        endpoint.check()  # nobody waits in a line for what may not be asked
        try:
            async with asyncio.timeout_at(deadline):
                await self._seat.move(endpoint)
        except (Overloaded, TimeoutError) as error:
            raise Passing(f"{SERVER} is busy with other answers") from error
        return await held.enter_async_context(endpoint.reply(draft, deadline, self._tally))


async def _take_place(seat: Seat, asked: Sequence[Endpoint]) -> None:
    """Takes the first endpoint's tier, then the next one's. Raises the last one's `Overloaded`."""
    tiers = list(dict.fromkeys(endpoint.settings.tier for endpoint in asked))
    for tier in tiers:
        near = [endpoint for endpoint in asked if endpoint.settings.tier == tier]
        try:
            await seat.move(min(near, key=lambda endpoint: endpoint.line.pressure))
        except Overloaded:
            if tier == tiers[-1]:
                raise
        else:
            return


def _hopeless(lasting: Sequence[Fault], refused: Sequence[BudgetExhausted]) -> Fault | BudgetExhausted:
    """What a round failed by that need not be repeated."""
    if lasting:
        return lasting[0]
    return soonest(refused) if refused else Resting("no other language model is left to ask")


def _together(passing: Sequence[Passing]) -> Passing:
    """What the round as a whole failed by: it may be repeated as soon as one endpoint may be asked again."""
    named = [fault.retry_after for fault in passing if fault.retry_after is not None]
    return Passing(str(passing[0]), min(named) if len(named) == len(passing) else None)


def _drawn(endpoint: Endpoint) -> tuple[int, float]:
    """Sorts by priority, then so that each is first as often as its weight says."""
    return endpoint.settings.priority, random.expovariate(endpoint.settings.weight)


def _now() -> float:
    return asyncio.get_running_loop().time()
