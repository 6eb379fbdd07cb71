"""What a tenant and its principals may spend in an hour, a day or a month (UTC)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retrieval.access import Caller, caller, principal, tenant_id
from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.endpoints import Price
from retrieval.errors import InputError, NotFound
from retrieval.spending.prices import affordable_output

Period = Literal["hour", "day", "month"]
Unit = Literal["tokens", "nano_usd"]

MOST = 10**15
"""Largest amount: a million USD, and more tokens than anybody has."""

_IN_FORCE = tenant_statement("retrieval.spending", "budgets_in_force")
_BUDGETED = tenant_statement("retrieval.spending", "budgeted_principals")
_FORGET = tenant_statement("retrieval.spending", "forget_windows")
_BEGIN = tenant_statement("retrieval.spending", "begin_windows")
_SET = tenant_statement("retrieval.spending", "set_budget")
_REMOVE = tenant_statement("retrieval.spending", "remove_budget")
_LIST = tenant_statement("retrieval.spending", "list_budgets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a principal may spend in each such window.

    Every caller holds `everyone`: its budget is the tenant's. That of `user:*` is each user's alone.
    """

    principal: str
    period: Period
    unit: Unit
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetInForce(Budget):
    """A budget that a call counts against, what is booked in the current window, and when the next one begins."""

    booked: int
    reset_at: datetime
    begun: bool

    @property
    def left(self) -> int:
        return max(0, self.amount - self.booked)

    def output_for(self, price: Price | None, prompt_tokens: int, wanted: int) -> int:
        """Most completion tokens, up to `wanted`, that fit into what is left with this prompt; below 0: none."""
        if self.unit == "tokens":
            return min(wanted, self.left - prompt_tokens)
        return affordable_output(price, prompt_tokens, self.left, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Principal:
    principal: str


async def budgets_in_force(session: CallerSession) -> list[BudgetInForce]:
    """The budgets that the session's caller spends from, as they are now. Raises `StoreUnavailable`."""
    return await session.rows(BudgetInForce, _IN_FORCE)


async def counted_budgets(session: CallerSession) -> list[BudgetInForce]:
    """The same, each with a window that bookings add to. To be called by who has the tenant's account."""
    found = await budgets_in_force(session)
    if new := [budget for budget in found if not budget.begun]:
        windows = {"begun": [budget.principal for budget in new], "periods": [budget.period for budget in new]}
        await session.change(_FORGET, **windows)
        await session.change(_BEGIN, **windows)
    return found


async def all_budgets(session: CallerSession) -> list[BudgetInForce]:
    """The tenant's budgets, those of a kind's default for each who spends from it. Raises `StoreUnavailable`."""
    principals = [each.principal for each in await session.rows(_Principal, _BUDGETED)]
    return await session.rows(BudgetInForce, _IN_FORCE, principals=principals)


async def set_budget(store: Store, tenant: str, budget: Budget) -> None:
    """From the next call on this is the amount. Raises `InvalidPrincipal`, `InputError`, `NotFound`."""
    principal(budget.principal)
    if not 0 <= budget.amount <= MOST:
        raise InputError(f"a budget is 0 to {MOST} {budget.unit}")
    async with store.session(_of(tenant)) as session:
        if not await session.change(_SET, **_columns(budget), amount=budget.amount):
            raise NotFound(f"no tenant {tenant!r}: it is made with its first key or document")


async def remove_budget(store: Store, tenant: str, budget: Budget) -> None:
    """The budget of this principal, period and unit limits nothing any more. Raises `NotFound`."""
    async with store.session(_of(tenant)) as session:
        if not await session.change(_REMOVE, **_columns(budget)):
            raise NotFound(f"{budget.principal} has no such budget")


async def list_budgets(store: Store, tenant: str) -> list[Budget]:
    """The tenant's budgets as they were set. Raises `StoreUnavailable`."""
    async with store.session(_of(tenant)) as session:
        return await session.rows(Budget, _LIST)


def _of(tenant: str) -> Caller:
    return caller(tenant_id(tenant), ())


def _columns(budget: Budget) -> dict[str, str]:
    return {"principal": budget.principal, "period": budget.period, "unit": budget.unit}
