"""What language models cost a tenant, and what is left of its budgets."""

from datetime import datetime
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field

from api.schemas.base import Usd, Wire
from retrieval.spending.budgets import BudgetInForce, Period
from retrieval.spending.prices import usd
from retrieval.spending.reporting import By, Spent, SpentPart, UsageReport


class SpentOut(Wire):
    """Sums over calls to language models."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Usd
    estimated: int = Field(description="Calls of which the provider did not say what they took")
    unpriced: int = Field(description="Calls whose model has no price here: they cost 0")
    under_way: int = Field(description="Calls that are booked at the most they may take")
    abandoned: int = Field(description="Calls whose end nobody saw: they stay booked at that")

    @classmethod
    def of(cls, spent: Spent) -> Self:
        return cls(**_sums(spent))


class SpentPartOut(SpentOut):
    """The calls of one day, model or principal."""

    part: str

    @classmethod
    def of_part(cls, part: SpentPart) -> Self:
        return cls(part=part.part or "", **_sums(part))


class BudgetOut(Wire):
    """A budget, in tokens or USD, in its current window. Whatever is not left is booked, calls under way included."""

    principal: str = Field(description="Whose: `everyone` is the whole tenant")
    period: Period
    unit: Literal["tokens", "usd"]
    amount: int | Usd
    left: int | Usd
    reset_at: datetime = Field(description="When the next window begins")

    @classmethod
    def of(cls, budget: BudgetInForce) -> Self:
        in_tokens = budget.unit == "tokens"
        return cls(
            principal=budget.principal,
            period=budget.period,
            unit="tokens" if in_tokens else "usd",
            amount=budget.amount if in_tokens else usd(budget.amount),
            left=budget.left if in_tokens else usd(budget.left),
            reset_at=budget.reset_at,
        )


class UsageResponse(Wire):
    """By days and models the parts add up to the total; by principal a call is a part of each it was made as."""

    since: datetime
    by: By
    parts: list[SpentPartOut]
    total: SpentOut
    budgets: list[BudgetOut]

    @classmethod
    def of(cls, report: UsageReport, since: datetime, by: By) -> Self:
        return cls(
            since=since,
            by=by,
            parts=[SpentPartOut.of_part(part) for part in report.parts],
            total=SpentOut.of(report.total),
            budgets=[BudgetOut.of(budget) for budget in report.budgets],
        )


def _sums(spent: Spent) -> dict[str, int | Decimal]:
    return {
        "calls": spent.calls,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": usd(spent.nano_usd),
        "estimated": spent.estimated,
        "unpriced": spent.unpriced,
        "under_way": spent.under_way,
        "abandoned": spent.abandoned,
    }
