"""The gateway to language models: several endpoints, one answer.

A round asks the endpoints in order until one has its first words: by priority, among equals by chance and weight,
past those whose breaker is open. Only when all have failed, and one of them in passing, is there another round: for
who has a place at one of them, and keeps it while it waits. Once the first words are given there is no going back:
what fails then is `LlmInterrupted`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from decimal import Decimal

import structlog

from retrieval.access import Caller, TenantId
from retrieval.domain import Origin, Usage
from retrieval.errors import BudgetExhausted, InvalidSettings, LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.chat import SERVER
from retrieval.generation.endpoint import Beginning, Endpoint, Meter, Tally
from retrieval.generation.llm import Begun, Draft, EndpointState
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.spending.books import Books, Unbooked
from retrieval.spending.ledger import soonest
from retrieval.spending.prices import Prices, load_prices, usd
from retrieval.telemetry import Telemetry
from retrieval.upstream.faults import Fault, Passing, Refused, Resting
from retrieval.upstream.retrying import retrying

_log = structlog.get_logger(__name__)


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
        self._endpoints = [
            Endpoint(server, settings, limits, Meter(self._books, prices.of(server), measures))
            for server in settings.servers
        ]

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(endpoint.settings.model for endpoint in self._endpoints))

    @asynccontextmanager
    async def turn(self, caller: Caller, origin: Origin | None = None) -> AsyncIterator["GatewayTurn"]:
        """A place at the first endpoint that has one free, else in the shortest line. Raises `Overloaded`.

        Where no endpoint may be asked now there is no line either: the turn's stream says so at once.
        """
        order = sorted(self._endpoints, key=_drawn)
        closed = [endpoint for endpoint in order if endpoint.breaker.admits]
        asked = [endpoint for endpoint in closed if endpoint.admits] or closed
        async with aclosing(Seat(caller.tenant)) as seat:
            if asked:
                await seat.move(first := min(asked, key=lambda endpoint: endpoint.line.pressure))
                order.sort(key=lambda endpoint: endpoint is not first)
            tally = Tally(caller=caller, origin=origin or Origin())
            yield GatewayTurn(self._settings, order, seat, self._books, tally)

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

    def __init__(self, settings: LlmSettings, order: list[Endpoint], seat: Seat, books: Books, tally: Tally) -> None:
        self._settings = settings
        self._order = order
        self._seat = seat
        self._books = books
        self._tally = tally

    @property
    def cost_usd(self) -> Decimal | None:
        """As `retrieval.generation.llm.Turn` promises."""
        return usd(self._tally.nano_usd) if self._tally.calls else None

    async def check_budget(self, draft: Draft) -> None:
        """As `retrieval.generation.llm.Turn` promises."""
        if orders := [endpoint.order(draft, self._tally) for endpoint in self._order if endpoint.admits]:
            await self._books.check(orders)

    async def stream(self, draft: Draft) -> AsyncGenerator[Begun | str | Usage, None]:
        """As `retrieval.generation.llm.Turn` promises. To be called once."""
        deadline = _now() + self._settings.deadline
        error = LlmUnavailable
        try:
            async with aclosing(self._seat), AsyncExitStack() as held:
                ask = retrying(self._settings.retries, deadline)
                begun: Beginning = await ask(self._round, draft, deadline, held)
                error = LlmInterrupted
                yield Begun(served=begun.served, passages=begun.passages)
                async with aclosing(begun.reply.pieces(deadline)) as pieces:
                    async for piece in pieces:
                        yield piece
                yield begun.reply.usage
        except Fault as fault:
            raise error(str(fault)) from fault

    async def _round(self, draft: Draft, deadline: float, held: AsyncExitStack) -> Beginning:
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
            raise lasting[0] if lasting else soonest(refused)
        together = _together(passing)
        if self._seat.endpoint is None or (together.retry_after or 0.0) > self._settings.patience:
            raise Resting(str(together))
        raise together

    async def _begin(self, endpoint: Endpoint, draft: Draft, deadline: float, held: AsyncExitStack) -> Beginning:
        if _now() >= deadline:
            raise Resting(f"{SERVER} did not respond in time")
        endpoint.check()  # nobody waits in a line for what may not be asked
        try:
            async with asyncio.timeout_at(deadline):
                await self._seat.move(endpoint)
        except (Overloaded, TimeoutError) as error:
            raise Passing(f"{SERVER} is busy with other answers") from error
        return await held.enter_async_context(endpoint.reply(draft, deadline, self._tally))


def _together(passing: Sequence[Passing]) -> Passing:
    """What the round as a whole failed by: it may be repeated as soon as one endpoint may be asked again."""
    named = [fault.retry_after for fault in passing if fault.retry_after is not None]
    return Passing(str(passing[0]), min(named) if len(named) == len(passing) else None)


def _drawn(endpoint: Endpoint) -> tuple[int, float]:
    """Sorts by priority, then so that each is first as often as its weight says."""
    return endpoint.settings.priority, random.expovariate(endpoint.settings.weight)


def _now() -> float:
    return asyncio.get_running_loop().time()
