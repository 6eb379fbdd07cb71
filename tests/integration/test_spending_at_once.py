"""Many who spend at once: no budget is overshot, nothing is booked twice, and windows hold what their rows say."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.access import caller
from retrieval.database.store import Store
from retrieval.domain import NOTHING_SPENT, Usage
from retrieval.errors import BudgetExhausted
from retrieval.spending.budgets import remove_budget, set_budget
from retrieval.spending.ledger import Ledger
from tests.bookkeeping import ADA, BEN, ORDER, USED, budget, opened, overshot, states, totals, windows_that_differ


@dataclass
class _Crowd:
    """Many callers on one tenant, in several processes' stores."""

    served: int = 0
    refused: int = 0
    most: int = 0

    async def spend(self, ledger: Ledger, dsn_total: Any, usage: Usage) -> None:
        try:
            reservation = await ledger.reserve(ORDER)
        except BudgetExhausted:
            self.refused += 1
            return
        self.most = max(self.most, await asyncio.to_thread(dsn_total))
        await ledger.settle(reservation, usage, "settled")
        self.served += 1


@pytest.mark.parametrize("unit", ["tokens", "nano_usd"])
async def test_64_at_once_in_four_stores_never_overshoot(accounts: str, unit: str) -> None:
    """Whatever order they come in, at no moment is more booked than the budget, and what fits is let through."""
    amount, at = (8000, 0) if unit == "tokens" else (5 * 510_000, 1)
    crowd = _Crowd()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(accounts)) for _ in range(4)]
        await set_budget(stores[0], "acme", budget(amount, unit=unit))
        full = Usage(prompt_tokens=1000, completion_tokens=600, estimated=False)
        spending = (crowd.spend(Ledger(stores[n % 4], 60), lambda: totals(accounts)[at], full) for n in range(64))
        await asyncio.gather(*spending)
    assert (crowd.served, crowd.refused) == (5, 59)
    assert crowd.most <= amount
    assert totals(accounts) == (8000, 5 * 510_000)
    assert windows_that_differ(accounts) == []


_PROCESS = """
import asyncio, json, sys
from tests.bookkeeping import hammer
print(json.dumps(asyncio.run(hammer(sys.argv[1]))))
"""


async def test_64_at_once_in_four_processes_never_overshoot(accounts: str, accounts_store: Store) -> None:
    """Processes know nothing of each other: what fits is let through, to the last token, and no more."""
    await set_budget(accounts_store, "acme", budget(9 * 1600 + 1000 + 127, "user:*", period="day"))
    command = [sys.executable, "-c", _PROCESS, accounts]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(4)]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert sum(int(output) for output, _ in outputs) == 9
    assert totals(accounts)[0] == 9 * 1600
    assert windows_that_differ(accounts) == []


async def test_a_window_that_begins_while_calls_are_settled_counts_each_once(accounts: str) -> None:
    """Whichever comes first, its beginning or a settlement: the window holds what the rows say."""
    async with AsyncExitStack() as stack:
        ledgers = [Ledger(await stack.enter_async_context(opened(accounts)), 60) for _ in range(3)]
        store = await stack.enter_async_context(opened(accounts))
        for round_ in range(3):
            under_way = [await ledgers[0].reserve(ORDER) for _ in range(12)]
            await set_budget(store, "acme", budget(10**9, f"user:{'abc'[round_]}"))
            asker = caller("acme", (f"user:{'abc'[round_]}", "user:ada", "group:eng"))
            await set_budget(store, "acme", budget(10**9, ("user:ada", "group:eng", "everyone")[round_], period="hour"))
            settling = (ledgers[at % 2].settle(each, USED, "settled") for at, each in enumerate(under_way))
            await asyncio.gather(*settling, ledgers[2].reserve(replace(ORDER, caller=asker)))
            assert windows_that_differ(accounts) == []


async def test_nothing_is_settled_twice(accounts_store: Store, accounts: str) -> None:
    """The second settlement of a call changes nothing, at the same time or later."""
    await set_budget(accounts_store, "acme", budget(10_000))
    ledger = Ledger(accounts_store, 60)
    reservation = await ledger.reserve(ORDER)
    await asyncio.gather(*(ledger.settle(reservation, USED, "settled") for _ in range(8)))
    await ledger.settle(reservation, NOTHING_SPENT, "released")
    assert (totals(accounts)[0], states(accounts)) == (750, ["settled"])
    assert windows_that_differ(accounts) == []


@dataclass(frozen=True)
class _Step:
    what: str
    who: int
    tokens: int


_STEPS = st.lists(
    st.builds(
        _Step,
        st.sampled_from(["call", "call", "call", "leave", "set", "remove"]),
        st.integers(0, 2),
        st.integers(0, 3000),
    ),
    max_size=12,
)
_WHO = (ADA, BEN, caller("acme", ("user:cleo",)))
_BUDGETS = ("everyone", "user:*", "group:eng")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_windows_hold_the_sum_of_their_rows_and_no_budget_is_overshot(accounts: str, steps: list[_Step]) -> None:
    """Whatever is called, left open, settled, set and removed: what budgets count is what the ledger's rows add to."""
    with psycopg.connect(accounts) as connection:
        connection.execute("TRUNCATE spending_accounts, spending_calls, spending_windows, budgets")
    async with opened(accounts) as store:
        ledger = Ledger(store, 60)
        for step in steps:
            limit = budget(3 * step.tokens, _BUDGETS[step.who])
            if step.what == "set":
                await set_budget(store, "acme", limit)
            elif step.what == "remove":
                await asyncio.gather(remove_budget(store, "acme", limit), return_exceptions=True)
            else:
                await _call(ledger, accounts, _WHO[step.who], step)
            assert windows_that_differ(accounts) == []


async def _call(ledger: Ledger, dsn: str, who: Any, step: _Step) -> None:
    order = replace(ORDER, caller=who, prompt_tokens=step.tokens, output_tokens=300)
    try:
        reservation = await ledger.reserve(order)
    except BudgetExhausted:
        return
    assert overshot(dsn) == []
    if step.what == "call":
        used = Usage(prompt_tokens=step.tokens // 2, completion_tokens=step.tokens % 300, estimated=False)
        await ledger.settle(reservation, used, "settled")
