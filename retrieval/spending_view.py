"""Budgets and usage as people read them in a terminal, and as programs do."""

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from retrieval.spending.budgets import Budget, BudgetInForce
from retrieval.spending.prices import usd
from retrieval.spending.reporting import Spent, UsageReport

_ALWAYS = 4
_WIDEST = 120
_SPENT = ("calls", "prompt tokens", "completion tokens", "USD", "estimated", "unpriced", "under way", "abandoned")


def amount(budget: Budget, units: int) -> str:
    """So many of the budget's units, in tokens or USD."""
    return f"{units} tokens" if budget.unit == "tokens" else f"{usd(units):f} USD"


def as_json(report: UsageReport) -> str:
    """All of it; amounts of money as exact decimals."""
    fields: dict[str, Any] = {
        "total": _written(report.total),
        "parts": [_written(part) for part in report.parts],
        "budgets": [_budget(budget) for budget in report.budgets],
    }
    return json.dumps(fields, ensure_ascii=False, indent=2, default=str)


def show(report: UsageReport) -> None:
    """The sums, and what is left of each budget."""
    console = Console()
    # Columns of nothing but zeros are left out, and lines longer than a terminal are not cut: they are figures.
    shown = [at for at, figure in enumerate(_cells(report.total)) if at < _ALWAYS or figure != "0"]
    spent = Table("", *(_SPENT[at] for at in shown))
    for part in report.parts:
        spent.add_row(part.part, *(_cells(part)[at] for at in shown))
    spent.add_section()
    spent.add_row("total", *(_cells(report.total)[at] for at in shown))
    console.print(spent, crop=False, no_wrap=True, overflow="ignore", width=max(console.width, _WIDEST))
    if report.budgets:
        left = Table("budget", "per", "amount", "left", "new at")
        for budget in report.budgets:
            figures = (amount(budget, budget.amount), amount(budget, budget.left))
            left.add_row(budget.principal, budget.period, *figures, f"{budget.reset_at:%Y-%m-%d %H:%M} UTC")
        console.print(left)


def _cells(spent: Spent) -> tuple[str, ...]:
    figures = (spent.calls, spent.prompt_tokens, spent.completion_tokens, f"{usd(spent.nano_usd):f}")
    return tuple(map(str, (*figures, spent.estimated, spent.unpriced, spent.under_way, spent.abandoned)))


def _written(spent: Spent) -> dict[str, Any]:
    fields = asdict(spent)
    return fields | {"cost_usd": f"{usd(fields.pop('nano_usd')):f}"}


def _budget(budget: BudgetInForce) -> dict[str, Any]:
    def figure(units: int) -> int | str:
        return units if budget.unit == "tokens" else f"{usd(units):f}"

    return {
        "principal": budget.principal,
        "period": budget.period,
        "unit": "tokens" if budget.unit == "tokens" else "usd",
        "amount": figure(budget.amount),
        "left": figure(budget.left),
        "reset_at": budget.reset_at,
    }
