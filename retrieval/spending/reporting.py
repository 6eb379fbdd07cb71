"""What was spent, added up from the ledger, and what is left."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.spending.budgets import BudgetInForce, all_budgets, budgets_in_force

By = Literal["day", "model", "principal"]

_USAGE = tenant_statement("retrieval.spending", "usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Sums over calls. `estimated`: the provider did not say what they took; `unpriced`: no price was known.

    `under_way` are booked at the most they may take; so stay the `abandoned`, whose process died.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nano_usd: int = 0
    estimated: int = 0
    unpriced: int = 0
    under_way: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentPart(Spent):
    """The calls of one day, model or principal; of all of them where `part` is None."""

    part: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """By days and models the parts add up to the total. By principal a call is a part of each it was made as."""

    parts: tuple[SpentPart, ...]
    total: Spent
    budgets: tuple[BudgetInForce, ...]


async def report_usage(store: Store, caller: Caller, since: datetime, by: By, *, whole_tenant: bool) -> UsageReport:
    """What was spent, and the budgets that the caller spends from. Raises `StoreUnavailable`.

    Not of the whole tenant, that is the calls made as nobody but principals of this caller: what others with whom it
    shares a group asked is theirs.
    """
    async with store.session(caller) as session:
        rows = await session.rows(SpentPart, _USAGE, since=since, by=by, whole_tenant=whole_tenant)
        budgets = await (all_budgets(session) if whole_tenant else budgets_in_force(session))
    total = next((row for row in rows if row.part is None), Spent())
    return UsageReport(parts=tuple(row for row in rows if row.part is not None), total=total, budgets=tuple(budgets))
