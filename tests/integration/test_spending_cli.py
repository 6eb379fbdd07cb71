"""`pincite budgets` and `pincite usage`: what an operator sets and is told."""

import asyncio
import json
from dataclasses import replace

import psycopg
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pincite import app
from retrieval.access import caller
from retrieval.errors import InputError, NotFound, PinciteError
from retrieval.spending.ledger import Ledger
from tests.bookkeeping import ORDER, USED, opened


@pytest.fixture
def command(dsn: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A terminal wide enough, on a database with one tenant."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('acme')")
    monkeypatch.setenv("PINCITE_DATABASE_URL", dsn)
    monkeypatch.setenv("COLUMNS", "160")
    return CliRunner()


def run(command: CliRunner, line: str) -> str:
    with capture_logs():  # main() sends them to stderr
        result = command.invoke(app, line.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(command: CliRunner, line: str) -> PinciteError:
    error = command.invoke(app, line.split()).exception
    assert isinstance(error, PinciteError), error
    return error


def test_budgets_are_set_listed_and_removed(command: CliRunner) -> None:
    """Amounts are as they were written; what is unknown or wrong is one error."""
    run(command, "budgets set --tenant acme --per month --usd 12.50 --tokens 100000")
    run(command, "budgets set --tenant acme --per day --for user:* --tokens 5000")
    assert run(command, "budgets list --tenant acme").splitlines() == [
        "everyone per month: 12.5 USD",
        "everyone per month: 100000 tokens",
        "user:* per day: 5000 tokens",
    ]
    run(command, "budgets remove --tenant acme --per day --for user:* --unit tokens")
    assert "user:*" not in run(command, "budgets list --tenant acme")
    assert isinstance(refused(command, "budgets remove --tenant acme --per day --unit usd"), NotFound)
    assert isinstance(refused(command, "budgets set --tenant acme --per day"), InputError)
    assert isinstance(refused(command, "budgets set --tenant acme --per day --usd lots"), InputError)
    assert isinstance(refused(command, "budgets set --tenant acme --per day --usd -1"), InputError)
    assert isinstance(refused(command, "budgets set --tenant nobody --per day --usd 1"), NotFound)


def test_usage_is_told_to_people_and_to_programs(command: CliRunner, dsn: str) -> None:
    """Both say the same sums, and what is left of each budget."""
    run(command, "budgets set --tenant acme --per month --usd 1")
    asyncio.run(_spend(dsn))
    told = json.loads(run(command, "usage --tenant acme --by model --json"))
    assert told["total"] | {"part": None} == {
        "part": None,
        "calls": 2,
        "prompt_tokens": 1400,
        "completion_tokens": 100,
        "cost_usd": "0.00027",
        "estimated": 0,
        "unpriced": 0,
        "under_way": 0,
        "abandoned": 0,
    }
    assert [part["part"] for part in told["parts"]] == ["large", "small"]
    [budget] = told["budgets"]
    assert (budget["unit"], budget["amount"], budget["left"]) == ("usd", "1", "0.99973")
    shown = run(command, "usage --tenant acme --by principal --since 2020-01-01")
    assert "user:ada" in shown
    assert "0.00027" in shown
    assert "0.99973 USD" in shown


async def _spend(dsn: str) -> None:
    async with opened(dsn) as store:
        ledger = Ledger(store, 60)
        for model in ("small", "large"):
            order = replace(ORDER, model=model, caller=caller("acme", ("user:ada",)))
            await ledger.settle(await ledger.reserve(order), USED, "settled")
