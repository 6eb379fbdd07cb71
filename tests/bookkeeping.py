"""A call as tests order it, and what the ledger and its windows hold."""

import asyncio
from decimal import Decimal
from typing import Any

import psycopg

from retrieval.access import caller
from retrieval.database.store import open_store
from retrieval.domain import Origin, Usage
from retrieval.endpoints import Price
from retrieval.errors import BudgetExhausted
from retrieval.spending.budgets import Budget
from retrieval.spending.ledger import Ledger, Order
from tests.conftest import on_database

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
