"""Calls made inside their booking: reserved before, settled after, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

import structlog

from retrieval.domain import NOTHING_SPENT, Usage
from retrieval.errors import PinciteError
from retrieval.spending.ledger import Ledger, Order, Reservation, State
from retrieval.spending.prices import cost

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Booking:
    """A call under way: what it may write, and what it took, to be set when it ends.

    Left unset, nobody knows what it took, and it is booked at the most it could have been.
    """

    def __init__(self, order: Order, output_tokens: int) -> None:
        self.output_tokens = output_tokens
        self.usage = Usage(prompt_tokens=order.prompt_tokens, completion_tokens=output_tokens, estimated=True)
        self._price = order.price

    @property
    def nano_usd(self) -> int:
        return cost(self._price, self.usage)

    @property
    def state(self) -> State:
        # Its server never took it, or declined: nobody bills that.
        return "released" if self.usage == NOTHING_SPENT else "settled"


class Books(Protocol):
    """Where calls are booked."""

    def call(self, order: Order) -> AbstractAsyncContextManager[Booking]:
        """The block makes the call. Raises `BudgetExhausted` instead of entering it, `StoreUnavailable`."""

    async def check(self, orders: Sequence[Order]) -> None:
        """Returns when one of these orders of one caller fits its budgets now. Raises `BudgetExhausted`."""

    async def close(self) -> None:
        """Returns when all calls that have ended are settled."""


class Unbooked:
    """Books nothing, for an LLM without a store."""

    @asynccontextmanager
    async def call(self, order: Order) -> AsyncIterator[Booking]:
        yield Booking(order, order.output_tokens)

    async def check(self, orders: Sequence[Order]) -> None:
        """Everything fits."""

    async def close(self) -> None:
        """There is nothing to wait for."""


class LedgerBooks:
    """Books calls in the ledger. Bookings are carried through even when whoever waits for them is cancelled."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._under_way: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def call(self, order: Order) -> AsyncIterator[Booking]:
        """As `Books` promises. What is wrong with settling is logged: the call then stays booked at its bound."""
        reservation = await self._reserved(order)
        booking = Booking(order, reservation.output_tokens)
        try:
            yield booking
        finally:
            await asyncio.shield(self._start(self._settled(reservation, booking.usage, booking.state)))

    async def check(self, orders: Sequence[Order]) -> None:
        await self._ledger.check(orders)

    async def close(self) -> None:
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _reserved(self, order: Order) -> Reservation:
        reserving = self._start(self._ledger.reserve(order))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            self._start(self._given_back(reserving))
            raise

    async def _given_back(self, reserving: asyncio.Task[Reservation]) -> None:
        """Releases what was reserved for a call that nobody will make."""
        try:
            reservation = await reserving
        except PinciteError:
            return
        await self._settled(reservation, NOTHING_SPENT, "released")

    async def _settled(self, reservation: Reservation, usage: Usage, state: State) -> None:
        try:
            await self._ledger.settle(reservation, usage, state)
        except PinciteError as error:
            _log.warning("call_not_settled", number=reservation.number, reason=str(error))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task
