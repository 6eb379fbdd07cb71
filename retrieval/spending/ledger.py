"""The ledger: one row for each call to a language model, reserved at the most it may take, settled at what it took.

A tenant's bookings happen one after another (each first takes the tenant's account), so a call is let through only
if every budget it counts against has room for it, however many processes ask. A reservation that nobody settles, for
its process died, stays booked at its bound: the provider may bill it, and nobody is left to say otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import Origin, Usage
from retrieval.endpoints import Price
from retrieval.errors import BudgetExhausted, NotFound
from retrieval.spending.budgets import BudgetInForce, budgets_in_force, counted_budgets
from retrieval.spending.prices import cost

LEAST_OUTPUT_TOKENS = 128
"""An answer that may be no longer than that is not begun, unless it was not to be longer anyway."""

State = Literal["settled", "released"]

_NEXT = tenant_statement("retrieval.spending", "next_call")
_TAKE = tenant_statement("retrieval.spending", "take_account")
_RESERVE = tenant_statement("retrieval.spending", "reserve_call")
_SETTLE = tenant_statement("retrieval.spending", "settle_call")
_BOOK = tenant_statement("retrieval.spending", "book")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A call about to be made: for whom, to whom, at which price, and the most tokens it may take."""

    caller: Caller
    origin: Origin
    endpoint: str
    model: str
    price: Price | None
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An order that is paid for, and the completion tokens it may take: the ordered ones, or fewer."""

    order: Order
    number: int
    output_tokens: int
    reserved_at: datetime

    @property
    def bound(self) -> Usage:
        """What is booked for it until it is settled."""
        return _most(self.order, self.output_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reserved:
    reserved_at: datetime


class Ledger:
    """The ledger in the store. `seconds` after it was made a reservation counts as abandoned."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    async def reserve(self, order: Order) -> Reservation:
        """Books the most the call may take. Raises `BudgetExhausted`, `StoreUnavailable`, and `NotFound` for a tenant
        that has neither keys nor documents."""
        async with self._store.session(order.caller) as session:
            accounts = await session.rows(_Account, _NEXT)
            if not accounts:
                raise NotFound(f"no tenant {order.caller.tenant!r}: nothing can be booked for it")
            number = accounts[0].number
            output = granted(order, await counted_budgets(session))
            bound = _most(order, output)
            [row] = await session.rows(
                _Reserved,
                _RESERVE,
                number=number,
                request_id=order.origin.request_id,
                key_id=order.origin.key_id,
                endpoint=order.endpoint,
                model=order.model,
                priced=order.price is not None,
                prompt_tokens=bound.prompt_tokens,
                completion_tokens=bound.completion_tokens,
                nano_usd=cost(order.price, bound),
                seconds=self._seconds,
            )
            await _book(session, row.reserved_at, _tokens(bound), cost(order.price, bound))
        return Reservation(order=order, number=number, output_tokens=output, reserved_at=row.reserved_at)

    async def settle(self, reservation: Reservation, usage: Usage, state: State) -> None:
        """Books what the call took instead; the second time nothing happens. Raises `StoreUnavailable`."""
        price, bound = reservation.order.price, reservation.bound
        async with self._store.session(reservation.order.caller) as session:
            await session.rows(_Account, _TAKE)
            settled = await session.change(
                _SETTLE,
                number=reservation.number,
                state=state,
                estimated=usage.estimated,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                nano_usd=cost(price, usage),
            )
            if settled:
                tokens, nano_usd = _tokens(usage) - _tokens(bound), cost(price, usage) - cost(price, bound)
                await _book(session, reservation.reserved_at, tokens, nano_usd)

    async def check(self, orders: Sequence[Order]) -> None:
        """Returns when one of these orders of one caller could be reserved at this moment.

        Raises `BudgetExhausted`, with the first moment at which one may be again; `StoreUnavailable`.
        """
        refusals: list[BudgetExhausted] = []
        async with self._store.session(orders[0].caller) as session:
            budgets = await budgets_in_force(session)
        for order in orders:
            try:
                granted(order, budgets)
            except BudgetExhausted as refusal:
                refusals.append(refusal)
            else:
                return
        raise soonest(refusals)


def granted(order: Order, budgets: Sequence[BudgetInForce]) -> int:
    """The completion tokens that every budget has room for, at most those ordered. Raises `BudgetExhausted`."""
    least = min(LEAST_OUTPUT_TOKENS, order.output_tokens)
    output, refusing = order.output_tokens, list[BudgetInForce]()
    for budget in budgets:
        fitting = budget.output_for(order.price, order.prompt_tokens, order.output_tokens)
        output = min(output, fitting)
        if fitting < least:
            refusing.append(budget)
    if refusing:
        last = max(refusing, key=lambda budget: budget.reset_at)
        raise BudgetExhausted(f"the {_PER[last.period]} budget of {last.principal} is used up", last.reset_at)
    return output


def soonest(refusals: Sequence[BudgetExhausted]) -> BudgetExhausted:
    """Of several refusals the one that ends first."""
    return min(refusals, key=lambda refusal: refusal.reset_at)


_PER = {"hour": "hourly", "day": "daily", "month": "monthly"}


def _most(order: Order, output_tokens: int) -> Usage:
    return Usage(prompt_tokens=order.prompt_tokens, completion_tokens=output_tokens, estimated=True)


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


async def _book(session: CallerSession, reserved_at: datetime, tokens: int, nano_usd: int) -> None:
    await session.change(_BOOK, reserved_at=reserved_at, tokens=tokens, nano_usd=nano_usd)
