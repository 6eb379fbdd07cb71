"""The ledger and its budgets, one booking after another."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from retrieval.access import caller
from retrieval.database.store import Store
from retrieval.errors import BudgetExhausted, InputError, InvalidPrincipal, NotFound
from retrieval.spending.books import LedgerBooks
from retrieval.spending.budgets import list_budgets, remove_budget, set_budget
from retrieval.spending.ledger import Ledger
from retrieval.spending.prices import usd
from tests.bookkeeping import (
    BEN,
    ORDER,
    USED,
    budget,
    opened,
    states,
    totals,
    windows_that_differ,
)


async def test_a_call_is_booked_at_its_most_then_at_what_it_took(accounts_store: Store, accounts: str) -> None:
    """While it is under way its bound counts; after it, its use, at its price, to the nano-USD."""
    await set_budget(accounts_store, "acme", budget(5000))
    books = LedgerBooks(Ledger(accounts_store, 60))
    async with books.call(ORDER) as booking:
        assert (booking.output_tokens, states(accounts)) == (600, ["reserved"])
        assert totals(accounts) == (1600, 1000 * 150 + 600 * 600)
        booking.usage = USED
    assert states(accounts) == ["settled"]
    assert totals(accounts) == (750, 700 * 150 + 50 * 600)
    assert booking.nano_usd == 135_000
    assert str(usd(booking.nano_usd)) == "0.000135"
    assert windows_that_differ(accounts) == []


async def test_a_new_window_begins_empty_and_the_old_one_is_forgotten(accounts_store: Store, accounts: str) -> None:
    """What was spent last month counts no more, also when it is settled in this one; the ledger keeps it."""
    await set_budget(accounts_store, "acme", budget(1600))
    ledger = Ledger(accounts_store, 60)
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


async def test_a_principal_may_be_named_like_a_default(accounts_store: Store) -> None:
    """Who asks as `user:*` spends from a window of that name, and from nobody else's."""
    await set_budget(accounts_store, "acme", budget(1600, "user:*"))
    ledger = Ledger(accounts_store, 60)
    await ledger.reserve(replace(ORDER, caller=caller("acme", ("user:*",))))
    await ledger.reserve(ORDER)
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(ORDER)


async def test_what_a_call_did_not_take_is_there_for_the_next(accounts_store: Store, accounts: str) -> None:
    """Settling gives back at once: more calls fit than their bounds would let through together."""
    await set_budget(accounts_store, "acme", budget(4000))
    ledger = Ledger(accounts_store, 60)
    for _ in range(3):
        await ledger.settle(await ledger.reserve(ORDER), USED, "settled")
    assert totals(accounts)[0] == 3 * 750
    assert (await ledger.reserve(ORDER)).output_tokens == 600
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(ORDER)


async def test_a_smaller_answer_is_let_through_when_it_still_is_one(accounts_store: Store) -> None:
    """With room for less than ordered the answer is shorter, down to 128 tokens; below that it is refused."""
    await set_budget(accounts_store, "acme", budget(1000 + 600 + 1000 + 128))
    ledger = Ledger(accounts_store, 60)
    assert (await ledger.reserve(ORDER)).output_tokens == 600
    shorter = await ledger.reserve(ORDER)
    assert (shorter.output_tokens, shorter.bound.completion_tokens) == (128, 128)
    with pytest.raises(BudgetExhausted) as refused:
        await ledger.reserve(replace(ORDER, prompt_tokens=0))
    assert refused.value.reset_at.day == 1


async def test_every_budget_that_applies_must_have_room(accounts_store: Store) -> None:
    """The tenant's, each principal's own, and the default of its kind; others' are not touched."""
    await set_budget(accounts_store, "acme", budget(10_000))
    await set_budget(accounts_store, "acme", budget(1600, "user:*", period="hour"))
    await set_budget(accounts_store, "acme", budget(4800, "group:eng", period="day"))
    await set_budget(accounts_store, "acme", budget(4800, "user:cleo", period="hour"))
    ledger = Ledger(accounts_store, 60)
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


async def test_a_new_budget_counts_what_its_window_already_holds(accounts_store: Store, accounts: str) -> None:
    """A budget set in the middle of the month begins with the month's calls, those under way included."""
    ledger = Ledger(accounts_store, 60)
    open_one = await ledger.reserve(ORDER)
    await ledger.settle(await ledger.reserve(ORDER), USED, "settled")
    await set_budget(accounts_store, "acme", budget(2 * 1600 + 750 - 1, "user:ada"))
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(replace(ORDER, output_tokens=600, prompt_tokens=1500))
    assert (await ledger.reserve(ORDER)).output_tokens == 599
    await ledger.settle(open_one, USED, "settled")
    assert windows_that_differ(accounts) == []


async def test_an_unpriced_model_costs_nothing_and_is_marked(accounts_store: Store, accounts: str) -> None:
    """Its tokens count; a budget in USD does not hold it, and the row says that it had no price."""
    await set_budget(accounts_store, "acme", budget(0, unit="nano_usd"))
    with pytest.raises(BudgetExhausted):
        await Ledger(accounts_store, 60).reserve(ORDER)
    await Ledger(accounts_store, 60).reserve(replace(ORDER, price=None))
    with psycopg.connect(accounts) as connection:
        rows = connection.execute("SELECT priced, nano_usd FROM spending_calls").fetchall()
    assert rows == [(False, 0)]


async def test_another_tenants_ledger_is_invisible(accounts_store: Store, accounts: str) -> None:
    """Row-level security shows a tenant its own rows alone, in each of the tables."""
    await set_budget(accounts_store, "acme", budget(10_000))
    await set_budget(accounts_store, "beta", budget(10_000))
    for order in (ORDER, replace(ORDER, caller=caller("beta", ()))):
        await Ledger(accounts_store, 60).reserve(order)
    with psycopg.connect(accounts) as connection:
        connection.execute("SET LOCAL ROLE pincite_app")
        connection.execute("SET LOCAL pincite.tenant = 'beta'")
        for table in ("spending_accounts", "spending_calls", "spending_windows", "budgets"):
            rows = connection.execute(f"SELECT DISTINCT tenant_id FROM {table}").fetchall()  # noqa: S608
            assert rows == [("beta",)], table


async def test_a_cancelled_caller_leaves_no_open_reservation(accounts_store: Store, accounts: str) -> None:
    """Cancelled while it reserves, the reservation is released; while it calls, settled at what is known of it."""
    books = LedgerBooks(Ledger(accounts_store, 60))

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


async def test_budgets_are_set_changed_listed_and_removed(accounts_store: Store) -> None:
    """One amount for each principal, period and unit; what cannot be is refused with the reason."""
    await set_budget(accounts_store, "acme", budget(5))
    await set_budget(accounts_store, "acme", budget(7))
    await set_budget(accounts_store, "acme", budget(7, "user:*", "nano_usd", "day"))
    assert await list_budgets(accounts_store, "acme") == [budget(7), budget(7, "user:*", "nano_usd", "day")]
    assert await list_budgets(accounts_store, "beta") == []
    await remove_budget(accounts_store, "acme", budget(0))
    assert await list_budgets(accounts_store, "acme") == [budget(7, "user:*", "nano_usd", "day")]
    with pytest.raises(NotFound):
        await remove_budget(accounts_store, "acme", budget(0))
    with pytest.raises(NotFound, match="no tenant"):
        await set_budget(accounts_store, "nobody", budget(5))
    with pytest.raises(InputError):
        await set_budget(accounts_store, "acme", budget(-1))
    with pytest.raises(InvalidPrincipal):
        await set_budget(accounts_store, "acme", budget(1, "ada"))


async def test_nothing_is_booked_for_a_tenant_that_does_not_exist(accounts_store: Store, accounts: str) -> None:
    """A question for it is an error of ours to name, not one to break by."""
    stranger = replace(ORDER, caller=caller("nobody", ()))
    with pytest.raises(NotFound, match="nobody"):
        await Ledger(accounts_store, 60).reserve(stranger)
    assert states(accounts) == []
