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

import structlog

from retrieval.access import Caller, TenantId
from retrieval.domain import Usage
from retrieval.errors import InvalidSettings, LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.chat import SERVER
from retrieval.generation.drafts import Drafted
from retrieval.generation.endpoint import Beginning, Endpoint, Tally
from retrieval.generation.llm import Begun, EndpointState, ToolsAsked
from retrieval.settings import BreakerSettings, LlmSettings
from retrieval.upstream.faults import Fault, Passing, Refused, Resting
from retrieval.upstream.retrying import retrying

_log = structlog.get_logger(__name__)


class LlmGateway:
    """An `Llm` over all configured endpoints."""

    def __init__(self, settings: LlmSettings, breaker: BreakerSettings | None = None) -> None:
        if not settings.servers:
            raise InvalidSettings("setting LlmSettings.model: needed to ask a language model")
        self._settings = settings
        limits = breaker or BreakerSettings()
        self._endpoints = [Endpoint(server, settings, limits) for server in settings.servers]

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(endpoint.settings.model for endpoint in self._endpoints))

    @asynccontextmanager
    async def turn(self, caller: Caller) -> AsyncIterator["GatewayTurn"]:
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
            yield GatewayTurn(self._settings, order, seat)

    async def endpoints(self) -> Mapping[str, EndpointState]:
        """The state of each endpoint, by name. Never raises."""
        states = await asyncio.gather(*(endpoint.state() for endpoint in self._endpoints))
        return {endpoint.settings.name: state for endpoint, state in zip(self._endpoints, states, strict=True)}

    async def close(self) -> None:
        """Gives connections back; nothing may be streaming."""
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

    def __init__(self, settings: LlmSettings, order: list[Endpoint], seat: Seat) -> None:
        self._settings = settings
        self._order = order
        self._seat = seat
        self._tally = Tally()
        self._deadline = _now() + settings.deadline

    async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        """As `retrieval.generation.llm.Turn` promises. The place is kept while tools are at work."""
        error = LlmUnavailable
        try:
            async with AsyncExitStack() as place, AsyncExitStack() as held:
                place.push_async_callback(self._seat.aclose)
                ask = retrying(self._settings.retries, self._deadline)
                begun: Beginning = await ask(self._round, draft, self._deadline, held)
                reply = begun.reply
                if reply.calls:
                    place.pop_all()
                    yield ToolsAsked(calls=reply.calls, text=reply.preamble)
                else:
                    error = LlmInterrupted
                    yield Begun(served=begun.served, passages=begun.passages)
                async with aclosing(reply.pieces(self._deadline)) as pieces:
                    async for piece in pieces:
                        yield piece
                yield reply.usage
        except Fault as fault:
            raise error(str(fault)) from fault

    async def _round(self, draft: Drafted, deadline: float, held: AsyncExitStack) -> Beginning:
        """Asks each endpoint once, until one begins. Raises `Passing` when another round may help, else what failed."""
        passing, lasting = list[Passing](), list[Fault]()
        for endpoint in tuple(self._order):
            try:
                return await self._begin(endpoint, draft, deadline, held)
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
            raise lasting[0]
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


def _together(passing: Sequence[Passing]) -> Passing:
    """What the round as a whole failed by: it may be repeated as soon as one endpoint may be asked again."""
    named = [fault.retry_after for fault in passing if fault.retry_after is not None]
    return Passing(str(passing[0]), min(named) if len(named) == len(passing) else None)


def _drawn(endpoint: Endpoint) -> tuple[int, float]:
    """Sorts by priority, then so that each is first as often as its weight says."""
    return endpoint.settings.priority, random.expovariate(endpoint.settings.weight)


def _now() -> float:
    return asyncio.get_running_loop().time()
