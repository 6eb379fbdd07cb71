"""`pincite ask`, `pincite explain`, `pincite keys`, `pincite budgets`, `pincite usage` and `pincite db`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import typer

from retrieval.access import caller, tenant_id
from retrieval.answering import answer
from retrieval.database import migrations
from retrieval.database.preparing import prepare_database
from retrieval.database.server import database_dsn
from retrieval.database.store import Store, open_store
from retrieval.domain import AnswerFailed, AnswerFinished, Citation, PassagesFound, Question, Surroundings, TextDelta
from retrieval.engine import open_engine
from retrieval.errors import InputError
from retrieval.explanation_view import as_json, show
from retrieval.filter_json import parse_filter
from retrieval.keys import create_key, list_keys, revoke_key
from retrieval.search.explanation import Explanation
from retrieval.searching import explain
from retrieval.settings import Settings
from retrieval.spending.budgets import Budget, Period, list_budgets, remove_budget, set_budget
from retrieval.spending.prices import read_usd
from retrieval.spending.reporting import By, report_usage
from retrieval.spending_view import amount
from retrieval.spending_view import as_json as usage_as_json
from retrieval.spending_view import show as show_usage

T = TypeVar("T")

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke")
budgets = typer.Typer(no_args_is_help=True, help="What a tenant and its principals may spend: set, list, remove")
database = typer.Typer(no_args_is_help=True, help="The database's schema")


def ask_command(
    question: str,
    tenant: Annotated[str, typer.Option(help="Whose documents")],
    principals: Annotated[list[str] | None, typer.Option("--as", help="On whose behalf: user:ada, group:eng")] = None,
    limit: Annotated[int, typer.Option(min=1, max=20, help="Passages to find")] = 8,
    wanted: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help='{"field": "metadata.year", "eq": 2025}')
    ] = None,
    expand: Annotated[Surroundings, typer.Option(help="Passages with what stands around them")] = Surroundings.NONE,
) -> None:
    """Ask a question; the answer streams to the terminal with its sources."""
    asker = caller(tenant, principals or [])
    asked = Question(
        text=question,
        caller=asker,
        limit=limit,
        filter=parse_filter(wanted) if wanted else None,
        surroundings=expand,
    )
    asyncio.run(_ask(asked))


async def _ask(question: Question) -> None:
    async with open_engine(Settings()) as engine:
        async for event in answer(engine, question):
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case AnswerFinished():
                    print("\n" + _closing(event))
                case AnswerFailed(code=code, message=message):
                    print(f"\n[{code}] {message}")
                    raise typer.Exit(1)
                case PassagesFound() | _:
                    pass


def explain_command(
    question: str,
    tenant: Annotated[str, typer.Option(help="Whose documents")],
    principals: Annotated[list[str] | None, typer.Option("--as", help="On whose behalf: user:ada, group:eng")] = None,
    limit: Annotated[int, typer.Option(min=1, max=20, help="Passages to find")] = 8,
    document: Annotated[str | None, typer.Option(help="A uri or id: why it was, or was not, found")] = None,
    as_program: Annotated[bool, typer.Option("--json", help="For programs, exact and whole")] = False,
) -> None:
    """Say how a question's passages were found: ranks and scores in each leg, the plan, what was read, the times.

    Also of a document that was not found: not there, not visible, ranked too low in which leg, or cut by the reranker.
    """
    asker = caller(tenant, principals or [])
    explanation = asyncio.run(_explain(Question(text=question, caller=asker, limit=limit), document))
    print(as_json(explanation)) if as_program else show(explanation)


async def _explain(question: Question, document: str | None) -> Explanation:
    async with open_engine(Settings()) as engine:
        return await explain(engine, question, document, any_document=True)


def _closing(finished: AnswerFinished) -> str:
    """What stands under an answer: sources, who wrote it, what gave way."""
    lines = [place(citation) for citation in finished.citations]
    note = f"answered by {finished.answered_by} in {finished.timings_ms['total']:.0f} ms"
    if finished.cost_usd:
        note += f" for {finished.cost_usd:f} USD"
    if finished.degraded:
        note += f" · degraded: {', '.join(finished.degraded)}"
    return "\n".join([*lines, note])


def place(citation: Citation) -> str:
    """A citation in one line: number, uri, section, page, characters."""
    section = " › ".join(citation.heading_path)
    page = f" p. {citation.first_page}" if citation.first_page is not None else ""
    return (
        f"  [{citation.number}] {citation.uri} · {section}{page} · characters {citation.char_start}-{citation.char_end}"
    )


@keys.command("create")
def create_command(
    tenant: Annotated[str, typer.Option(help="The tenant whose documents it opens")],
    name: Annotated[str, typer.Option(help="What it is for")],
    principals: Annotated[list[str] | None, typer.Option("--as", help="On whose behalf it asks")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="query (always), act_as, explain, admin, documents (manages all of them)")
    ] = None,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    print(
        create_key(prepare_database(Settings()), tenant_id(tenant), name, {"query", *(scope or ())}, principals or ())
    )


@keys.command("list")
def list_command(tenant: Annotated[str, typer.Option(help="The tenant")]) -> None:
    """A tenant's keys, a JSON line each."""
    for key in list_keys(prepare_database(Settings()), tenant_id(tenant)):
        print(json.dumps({name: getattr(key, name) for name in key.__slots__}, default=str))


@keys.command("revoke")
def revoke_command(key_id: str) -> None:
    """The key opens nothing any more."""
    revoke_key(prepare_database(Settings()), key_id)


Tenant = Annotated[str, typer.Option(help="The tenant")]
Whose = Annotated[str, typer.Option("--for", help="everyone: the whole tenant; user:ada; user:*: each user alone")]
Per = Annotated[Period, typer.Option(help="The window: an hour, a day or a month in UTC")]


@budgets.command("set")
def set_command(
    tenant: Tenant,
    per: Per,
    principal: Whose = "everyone",
    tokens: Annotated[int | None, typer.Option(min=0, help="So many tokens")] = None,
    dollars: Annotated[str | None, typer.Option("--usd", help="So many USD")] = None,
) -> None:
    """Limit what may be spent in each window, from the next call on; in tokens, USD or both."""
    wanted: list[Budget] = []
    if tokens is not None:
        wanted.append(Budget(principal=principal, period=per, unit="tokens", amount=tokens))
    if dollars is not None:
        wanted.append(Budget(principal=principal, period=per, unit="nano_usd", amount=read_usd(dollars)))
    if not wanted:
        raise InputError("name an amount: --tokens or --usd")

    async def set_all(store: Store) -> None:
        for budget in wanted:
            await set_budget(store, tenant, budget)

    asyncio.run(with_store(set_all))


@budgets.command("list")
def list_budgets_command(tenant: Tenant) -> None:
    """A tenant's budgets, a line each."""
    for budget in asyncio.run(with_store(lambda store: list_budgets(store, tenant))):
        print(f"{budget.principal} per {budget.period}: {amount(budget, budget.amount)}")


@budgets.command("remove")
def remove_command(
    tenant: Tenant,
    per: Per,
    unit: Annotated[Literal["tokens", "usd"], typer.Option(help="What it is counted in")],
    principal: Whose = "everyone",
) -> None:
    """Take a limit away."""
    named = Budget(principal=principal, period=per, unit="tokens" if unit == "tokens" else "nano_usd", amount=0)
    asyncio.run(with_store(lambda store: remove_budget(store, tenant, named)))


def usage_command(
    tenant: Tenant,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day (UTC) [default: this month's first]")
    ] = None,
    by: Annotated[By, typer.Option(help="What the sums are parted by")] = "day",
    as_program: Annotated[bool, typer.Option("--json", help="For programs, exact and whole")] = False,
) -> None:
    """Add up what language models took and cost a tenant, and say what is left of its budgets."""
    begin = (since or datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)).replace(tzinfo=UTC)
    asker = caller(tenant, ())
    report = asyncio.run(with_store(lambda store: report_usage(store, asker, begin, by, whole_tenant=True)))
    print(usage_as_json(report)) if as_program else show_usage(report)


async def with_store(work: Callable[[Store], Awaitable[T]]) -> T:
    """What a command does with the configured database."""
    settings = Settings()
    dsn = await asyncio.to_thread(prepare_database, settings)
    async with open_store(dsn, settings.database) as store:
        return await work(store)


@database.command("upgrade")
def upgrade_command() -> None:
    """Bring the schema to this version's."""
    migrations.upgrade(database_dsn(Settings().database))


@database.command("downgrade")
def downgrade_command(revision: str) -> None:
    """Take the schema back to a revision; `base` drops everything."""
    migrations.downgrade(database_dsn(Settings().database), revision)
