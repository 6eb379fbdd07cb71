"""The ledger and its budgets: nothing is overspent, nothing is booked twice, and the rows add up."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.access import caller
from retrieval.database.store import Store, open_store
from retrieval.domain import Origin, Usage
from retrieval.endpoints import Price
from retrieval.errors import BudgetExhausted, InputError, InvalidPrincipal, NotFound
from retrieval.spending.books import NOTHING, LedgerBooks
from retrieval.spending.budgets import Budget, list_budgets, remove_budget, set_budget
from retrieval.spending.ledger import Ledger, Order
from retrieval.spending.prices import usd
from tests.conftest import new_database, on_database

ADA = caller("acme", ("user:ada", "group:eng"))
BEN = caller("acme", ("user:ben", "group:eng"))
PRICE = Price(input=Decimal("0.15"), output=Decimal("0.60"))
ORDER = Order(
    caller=ADA,
    origin=Origin(request_id="r1", key_id="k1"),
    endpoint="e1",
    model="small",
    price=PRICE,
    prompt_tokens=1000,
    output_tokens=600,
)
USED = Usage(prompt_tokens=700, completion_tokens=50, estimated=False)


@pytest.fixture(scope="module")
def shared(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
def accounts(shared: str) -> str:
    """A database with two tenants that have spent nothing."""
    with psycopg.connect(shared) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('acme'), ('beta')")
    return shared


@pytest.fixture
async def store(accounts: str) -> AsyncIterator[Store]:
    async with opened(accounts) as store:
        yield store


def opened(dsn: str) -> Any:
    """A store with a pool of its own, as each process has one; a busy machine gets time."""
    return open_store(dsn, on_database(dsn).database.model_copy(update={"database_timeout": 60.0}))


def budget(amount: int, principal: str = "everyone", unit: str = "tokens", period: str = "month") -> Budget:
    return Budget(principal=principal, period=period, unit=unit, amount=amount)  # type: ignore[arg-type]


def totals(dsn: str) -> tuple[int, int]:
    """Tokens and nano-USD of all rows."""
    query = "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0), coalesce(sum(nano_usd), 0) FROM spending_calls"
    with psycopg.connect(dsn) as connection:
        [(tokens, nano_usd)] = connection.execute(query).fetchall()
    return int(str(tokens)), int(str(nano_usd))


def windows_that_differ(dsn: str) -> list[Any]:
    """Windows that do not hold the sum of the rows they are counted from."""
    query = """
        SELECT w.principal, w.period, w.tokens, w.nano_usd, sum(c.prompt_tokens + c.completion_tokens), sum(c.nano_usd)
        FROM spending_windows w
        LEFT JOIN spending_calls c ON c.tenant_id = w.tenant_id AND w.principal = ANY (c.principals)
            AND date_trunc(w.period, c.reserved_at, 'UTC') = w.starts_at
        GROUP BY w.tenant_id, w.principal, w.period, w.starts_at
        HAVING (w.tokens, w.nano_usd)
            != (coalesce(sum(c.prompt_tokens + c.completion_tokens), 0), coalesce(sum(c.nano_usd), 0))
    """
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def states(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT state FROM spending_calls ORDER BY tenant_id, number").fetchall()
    return [str(state) for (state,) in rows]


async def test_a_call_is_booked_at_its_most_then_at_what_it_took(store: Store, accounts: str) -> None:
    """While it is under way its bound counts; after it, its use, at its price, to the nano-USD."""
    await set_budget(store, "acme", budget(5000))
    books = LedgerBooks(Ledger(store, 60))
    async with books.call(ORDER) as booking:
        assert (booking.output_tokens, states(accounts)) == (600, ["reserved"])
        assert totals(accounts) == (1600, 1000 * 150 + 600 * 600)
        booking.usage = USED
    assert states(accounts) == ["settled"]
    assert totals(accounts) == (750, 700 * 150 + 50 * 600)
    assert booking.nano_usd == 135_000
    assert str(usd(booking.nano_usd)) == "0.000135"
    assert windows_that_differ(accounts) == []


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
from tests.integration.test_spending_ledger import hammer
print(json.dumps(asyncio.run(hammer(sys.argv[1]))))
"""


async def hammer(dsn: str) -> int:
    """How many of 16 calls at once were let through in this process; each is settled at its bound."""
    served = 0
    async with opened(dsn) as store:
        ledger = Ledger(store, 60)

        async def spend() -> None:
            nonlocal served
            try:
                reservation = await ledger.reserve(ORDER)
            except BudgetExhausted:
                return
            await ledger.settle(reservation, reservation.bound, "settled")
            served += 1

        await asyncio.gather(*(spend() for _ in range(16)))
    return served


async def test_64_at_once_in_four_processes_never_overshoot(accounts: str, store: Store) -> None:
    """Processes know nothing of each other: what fits is let through, to the last token, and no more."""
    await set_budget(store, "acme", budget(9 * 1600 + 1000 + 127, "user:*", period="day"))
    command = [sys.executable, "-c", _PROCESS, accounts]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(4)]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert sum(int(output) for output, _ in outputs) == 9
    assert totals(accounts)[0] == 9 * 1600
    assert windows_that_differ(accounts) == []


async def test_a_new_window_begins_empty_and_the_old_one_is_forgotten(store: Store, accounts: str) -> None:
    """What was spent last month counts no more, also when it is settled in this one; the ledger keeps it."""
    await set_budget(store, "acme", budget(1600))
    ledger = Ledger(store, 60)
    late = await ledger.reserve(ORDER)
    with psycopg.connect(accounts) as connection:
        connection.execute("UPDATE spending_calls SET reserved_at = reserved_at - interval '1 month'")
        connection.execute("UPDATE spending_windows SET starts_at = starts_at - interval '1 month'")
    await ledger.reserve(ORDER)
    last_month = replace(late, reserved_at=_a_month_before(late.reserved_at))
    await ledger.settle(last_month, USED, "settled")
    with psycopg.connect(accounts) as connection:
        [(windows, tokens)] = connection.execute("SELECT count(*), sum(tokens)::int FROM spending_windows").fetchall()
    assert (windows, tokens) == (1, 1600)
    assert totals(accounts)[0] == 750 + 1600
    assert windows_that_differ(accounts) == []


def _a_month_before(moment: datetime) -> datetime:
    return (moment.replace(day=1) - timedelta(days=1)).replace(day=1)


async def test_when_the_store_is_lost_the_call_ends_and_stays_at_its_bound(accounts: str) -> None:
    """Nothing is given back that nobody could write down; who made the call is not troubled."""
    async with opened(accounts) as store:
        books = LedgerBooks(Ledger(store, 60))
        call = books.call(ORDER)
        booking = await call.__aenter__()
        booking.usage = USED
    await call.__aexit__(None, None, None)
    assert (states(accounts), totals(accounts)[0]) == (["reserved"], 1600)


async def test_a_principal_may_be_named_like_a_default(store: Store) -> None:
    """Who asks as `user:*` spends from a window of that name, and from nobody else's."""
    await set_budget(store, "acme", budget(1600, "user:*"))
    ledger = Ledger(store, 60)
    await ledger.reserve(replace(ORDER, caller=caller("acme", ("user:*",))))
    await ledger.reserve(ORDER)
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(ORDER)


async def test_what_a_call_did_not_take_is_there_for_the_next(store: Store, accounts: str) -> None:
    """Settling gives back at once: more calls fit than their bounds would let through together."""
    await set_budget(store, "acme", budget(4000))
    ledger = Ledger(store, 60)
    for _ in range(3):
        await ledger.settle(await ledger.reserve(ORDER), USED, "settled")
    assert totals(accounts)[0] == 3 * 750
    assert (await ledger.reserve(ORDER)).output_tokens == 600
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(ORDER)


async def test_a_smaller_answer_is_let_through_when_it_still_is_one(store: Store) -> None:
    """With room for less than ordered the answer is shorter, down to 128 tokens; below that it is refused."""
    await set_budget(store, "acme", budget(1000 + 600 + 1000 + 128))
    ledger = Ledger(store, 60)
    assert (await ledger.reserve(ORDER)).output_tokens == 600
    shorter = await ledger.reserve(ORDER)
    assert (shorter.output_tokens, shorter.bound.completion_tokens) == (128, 128)
    with pytest.raises(BudgetExhausted) as refused:
        await ledger.reserve(replace(ORDER, prompt_tokens=0))
    assert refused.value.reset_at.day == 1


async def test_every_budget_that_applies_must_have_room(store: Store) -> None:
    """The tenant's, each principal's own, and the default of its kind; others' are not touched."""
    await set_budget(store, "acme", budget(10_000))
    await set_budget(store, "acme", budget(1600, "user:*", period="hour"))
    await set_budget(store, "acme", budget(4800, "group:eng", period="day"))
    await set_budget(store, "acme", budget(4800, "user:cleo", period="hour"))
    ledger = Ledger(store, 60)
    await ledger.reserve(ORDER)
    with pytest.raises(BudgetExhausted, match="hourly budget of user:ada"):
        await ledger.reserve(ORDER)
    await ledger.reserve(replace(ORDER, caller=BEN))
    for _ in range(3):
        await ledger.reserve(replace(ORDER, caller=caller("acme", ("user:cleo",))))
    with pytest.raises(BudgetExhausted, match="hourly budget of user:cleo"):
        await ledger.reserve(replace(ORDER, caller=caller("acme", ("user:cleo",))))
    of_the_group = replace(ORDER, caller=caller("acme", ("group:eng",)))
    await ledger.reserve(of_the_group)
    with pytest.raises(BudgetExhausted, match="monthly budget of everyone"):
        await ledger.reserve(of_the_group)
    await ledger.reserve(replace(ORDER, caller=caller("beta", ("user:ada",))))


async def test_a_new_budget_counts_what_its_window_already_holds(store: Store, accounts: str) -> None:
    """A budget set in the middle of the month begins with the month's calls, those under way included."""
    ledger = Ledger(store, 60)
    open_one = await ledger.reserve(ORDER)
    await ledger.settle(await ledger.reserve(ORDER), USED, "settled")
    await set_budget(store, "acme", budget(2 * 1600 + 750 - 1, "user:ada"))
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(replace(ORDER, output_tokens=600, prompt_tokens=1500))
    assert (await ledger.reserve(ORDER)).output_tokens == 599
    await ledger.settle(open_one, USED, "settled")
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


async def test_nothing_is_settled_twice(store: Store, accounts: str) -> None:
    """The second settlement of a call changes nothing, at the same time or later."""
    await set_budget(store, "acme", budget(10_000))
    ledger = Ledger(store, 60)
    reservation = await ledger.reserve(ORDER)
    await asyncio.gather(*(ledger.settle(reservation, USED, "settled") for _ in range(8)))
    await ledger.settle(reservation, NOTHING, "released")
    assert (totals(accounts)[0], states(accounts)) == (750, ["settled"])
    assert windows_that_differ(accounts) == []


async def test_an_unpriced_model_costs_nothing_and_is_marked(store: Store, accounts: str) -> None:
    """Its tokens count; a budget in USD does not hold it, and the row says that it had no price."""
    await set_budget(store, "acme", budget(0, unit="nano_usd"))
    with pytest.raises(BudgetExhausted):
        await Ledger(store, 60).reserve(ORDER)
    await Ledger(store, 60).reserve(replace(ORDER, price=None))
    with psycopg.connect(accounts) as connection:
        rows = connection.execute("SELECT priced, nano_usd FROM spending_calls").fetchall()
    assert rows == [(False, 0)]


async def test_another_tenants_ledger_is_invisible(store: Store, accounts: str) -> None:
    """Row-level security shows a tenant its own rows alone, in each of the tables."""
    await set_budget(store, "acme", budget(10_000))
    await set_budget(store, "beta", budget(10_000))
    for order in (ORDER, replace(ORDER, caller=caller("beta", ()))):
        await Ledger(store, 60).reserve(order)
    with psycopg.connect(accounts) as connection:
        connection.execute("SET LOCAL ROLE pincite_app")
        connection.execute("SET LOCAL pincite.tenant = 'beta'")
        for table in ("spending_accounts", "spending_calls", "spending_windows", "budgets"):
            rows = connection.execute(f"SELECT DISTINCT tenant_id FROM {table}").fetchall()  # noqa: S608
            assert rows == [("beta",)], table


async def test_a_cancelled_caller_leaves_no_open_reservation(store: Store, accounts: str) -> None:
    """Cancelled while it reserves, the reservation is released; while it calls, settled at what is known of it."""
    books = LedgerBooks(Ledger(store, 60))

    async def call(entered: asyncio.Event) -> None:
        async with books.call(ORDER) as booking:
            booking.usage = USED
            entered.set()
            await asyncio.sleep(60)

    for _ in range(8):
        early = asyncio.create_task(call(asyncio.Event()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        early.cancel()
    entered = asyncio.Event()
    late = asyncio.create_task(call(entered))
    await entered.wait()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    await books.close()
    assert set(states(accounts)) == {"settled", "released"}
    assert totals(accounts)[0] == 750


async def test_budgets_are_set_changed_listed_and_removed(store: Store) -> None:
    """One amount for each principal, period and unit; what cannot be is refused with the reason."""
    await set_budget(store, "acme", budget(5))
    await set_budget(store, "acme", budget(7))
    await set_budget(store, "acme", budget(7, "user:*", "nano_usd", "day"))
    assert await list_budgets(store, "acme") == [budget(7), budget(7, "user:*", "nano_usd", "day")]
    assert await list_budgets(store, "beta") == []
    await remove_budget(store, "acme", budget(0))
    assert await list_budgets(store, "acme") == [budget(7, "user:*", "nano_usd", "day")]
    with pytest.raises(NotFound):
        await remove_budget(store, "acme", budget(0))
    with pytest.raises(NotFound, match="no tenant"):
        await set_budget(store, "nobody", budget(5))
    with pytest.raises(InputError):
        await set_budget(store, "acme", budget(-1))
    with pytest.raises(InvalidPrincipal):
        await set_budget(store, "acme", budget(1, "ada"))


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


def overshot(dsn: str) -> list[Any]:
    """Windows of budgets of their very principal that hold more than its amount."""
    query = """
        SELECT w.principal, w.tokens, b.amount FROM spending_windows w
        JOIN budgets b ON (b.tenant_id, b.principal, b.period) = (w.tenant_id, w.principal, w.period)
        WHERE w.tokens > b.amount AND EXISTS (
            SELECT FROM spending_calls c
            WHERE w.principal = ANY (c.principals) AND c.number = (SELECT max(number) FROM spending_calls)
        )
    """
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()
