"""The fault matrix: each way in which a model server fails, at each stage that asks one, and what the answer becomes.

`make faults` prints it; tests/integration/test_faults.py holds it to its law.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

import psycopg
import structlog
from rich.console import Console
from rich.table import Table

from ingest.sources import Request
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.database.server import database_dsn
from retrieval.database.store import open_store
from retrieval.domain import AnswerEvent, AnswerFailed, AnswerFinished, Question
from retrieval.endpoints import Price
from retrieval.engine import Engine
from retrieval.generation.gateway import LlmGateway
from retrieval.models.http_reranker import HttpReranker
from retrieval.models.openai_embedder import OpenAiEmbedder
from retrieval.settings import DatabaseSettings, EmbedderSettings, LlmSettings, RerankerSettings
from retrieval.spending.books import LedgerBooks
from retrieval.spending.ledger import Ledger
from retrieval.spending.prices import Prices, usd
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import Script, ScriptedLlm, scripted_llm

Stage = Literal["embed", "rerank", "generate"]
STAGES: tuple[Stage, ...] = get_args(Stage)

PUMP = "The red pump needs oil every week. Its filter lasts ninety days."
GOOD = "The red pump needs oil every week [1]."
DEADLINES: Mapping[Stage, float] = {"embed": 1.0, "rerank": 1.0, "generate": 2.0}
GRACE = 1.0
"""Seconds past its deadline within which a stage must have ended, the rest of the answer included."""
_RETRIES = 1
_PRICES = Prices({"scripted": Price(input=Decimal(1), output=Decimal(10))})
_NOBODY = "http://127.0.0.1:9/v1"
_NOWHERE = "http://no-such-host.invalid/v1"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the server does, or the address where there is none."""

    script: Script = field(default_factory=Script)
    address: str | None = None


def _without_its_end(good: dict[str, Any]) -> str:
    """An embedding or a ranking has no finish_reason: it lacks what it is asked for."""
    return '{"object": "list", "usage": ' + str(len(good)) + "}"


def _malformed(_good: dict[str, Any]) -> str:
    return "not json"


def _nothing(_good: dict[str, Any]) -> str:
    return ""


def _wrong_usage(good: dict[str, Any]) -> str:
    return json.dumps({**good, "usage": {"prompt_tokens": -5, "total_tokens": "many"}})


FAULTS: Mapping[str, Fault] = {
    "refused": Fault(address=_NOBODY),
    "no such host": Fault(address=_NOWHERE),
    "401": Fault(script=scripted.status(401)),
    "400": Fault(script=scripted.status(400)),
    "429, Retry-After": Fault(script=scripted.status(429, retry_after=0.2)),
    "429, Retry-After: 1 h": Fault(script=scripted.status(429, retry_after=3600)),
    "429": Fault(script=scripted.status(429)),
    "500": Fault(script=scripted.status(500)),
    "503": Fault(script=scripted.loading()),
    "hang before the first token": Fault(script=scripted.hang_before_first_token()),
    "hang mid-stream": Fault(script=scripted.hang_midway(GOOD)),
    "slow drip": Fault(script=scripted.slow_drip(GOOD * 9, pause=0.15)),
    "cut mid-stream": Fault(script=scripted.cut_midway(GOOD)),
    "empty 200": Fault(script=replace(scripted.empty(), spoil=_nothing)),
    "no finish_reason": Fault(script=replace(scripted.answer(GOOD, finish_reason=None), spoil=_without_its_end)),
    "malformed chunk": Fault(script=replace(scripted.gibberish("not json"), spoil=_malformed)),
    "wrong usage": Fault(script=replace(scripted.answer(GOOD, usage=(-5, 10**9)), spoil=_wrong_usage)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What the ledger holds of one answer: its rows, those that cost something, those still open, and their sum.

    `counted` is what a budget over all of it would have counted.
    """

    rows: int
    billed: int
    open: int
    nano_usd: int
    counted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one answer. `attempts` are calls that reached the server; `unhandled` is an error that escaped."""

    booked: Booked

    stage: Stage
    fault: str
    outcome: str
    answered_by: str
    degraded: tuple[str, ...]
    estimated: bool
    seconds: float
    attempts: int
    unhandled: bool

    @property
    def late(self) -> bool:
        return self.seconds > DEADLINES[self.stage] + GRACE

    @property
    def misbooked(self) -> bool:
        """Unless each call that reached the server has one row, all are closed, one at most cost something (others
        were declined), and budgets count what the rows add up to."""
        booked = self.booked
        calls = self.attempts if self.stage == "generate" else 0
        rows_fit = booked.rows == calls or (calls == 0 and self.stage == "generate" and booked.billed == 0)
        return not rows_fit or booked.open > 0 or booked.billed > 1 or booked.counted != booked.nano_usd

    @property
    def broken(self) -> bool:
        return self.unhandled or self.late or self.misbooked


@contextmanager
def corpus(server: str) -> Iterator[str]:
    """A database with one document, embedded by `WordEmbedder`, on the Postgres server with this DSN."""
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "pump.md"
        document.write_text(f"# Pumps\n\n{PUMP}\n")
        for dsn in new_database(server):
            ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(document,), acl=frozenset({"everyone"})))
            yield dsn


async def measure(dsn: str, stage: Stage, fault: str) -> Row:
    """Asks one question with one broken server. Never raises for what the server does."""
    broken = FAULTS[fault]
    with scripted_llm(broken.script) as server:
        async with _engine(dsn, stage, server, broken.address or server.base_url) as engine:
            before = _counted(dsn)
            question = Question(text="How often does the red pump need oil?", caller=caller("acme", ()), limit=5)
            started = time.monotonic()
            try:
                events: Sequence[AnswerEvent] = [event async for event in answer(engine, question)]
                error = None
            except Exception as escaped:  # noqa: BLE001 - this is what the matrix is for
                events, error = (), escaped
            seconds = time.monotonic() - started
        booked = _booked(dsn, question.origin.request_id, before)
        return _row(stage, fault, events, error, seconds, len(server.requests), booked)


def _booked(dsn: str, request_id: str, before: int) -> Booked:
    query = """
        SELECT count(*), count(*) FILTER (WHERE nano_usd > 0), count(*) FILTER (WHERE state = 'reserved'),
               coalesce(sum(nano_usd), 0)::bigint
        FROM spending_calls WHERE tenant_id = 'acme' AND request_id = %s
    """
    with psycopg.connect(dsn) as connection:
        [(rows, billed, still_open, nano_usd)] = connection.execute(query, [request_id]).fetchall()
    return Booked(rows=rows, billed=billed, open=still_open, nano_usd=nano_usd, counted=_counted(dsn) - before)


def _counted(dsn: str) -> int:
    """What a month's budget of the tenant has counted so far; it is far larger than that."""
    budget = "INSERT INTO budgets VALUES ('acme', 'everyone', 'month', 'nano_usd', 10 ^ 15) ON CONFLICT DO NOTHING"
    with psycopg.connect(dsn) as connection:
        connection.execute(budget)
        found = connection.execute("SELECT nano_usd FROM spending_windows ORDER BY starts_at DESC").fetchall()
    return int(found[0][0]) if found else 0


def _row(
    stage: Stage,
    fault: str,
    events: Sequence[AnswerEvent],
    error: Exception | None,
    seconds: float,
    attempts: int,
    booked: Booked,
) -> Row:
    last = events[-1] if events else None
    finished = last if isinstance(last, AnswerFinished) else None
    outcome = last.code if isinstance(last, AnswerFailed) else finished.outcome if finished else repr(error)
    return Row(
        stage=stage,
        fault=fault,
        outcome=outcome,
        answered_by=finished.answered_by if finished else "",
        degraded=tuple(finished.degraded) if finished else (),
        estimated=bool(finished and finished.usage and finished.usage.estimated),
        seconds=seconds,
        attempts=attempts,
        unhandled=error is not None,
        booked=booked,
    )


@asynccontextmanager
async def _engine(dsn: str, stage: Stage, server: ScriptedLlm, address: str) -> AsyncIterator[Engine]:
    """An engine whose model at this stage is the broken server, and none other is remote."""
    settings = on_database(dsn)
    embedder = OpenAiEmbedder(_embedding(address)) if stage == "embed" else None
    reranker = HttpReranker(_reranking(f"{address}/rerank")) if stage == "rerank" else None
    async with open_store(dsn, settings.database) as store:
        books = LedgerBooks(Ledger(store, DEADLINES["generate"]))
        llm = LlmGateway(_writing(server, address), None, books, _PRICES) if stage == "generate" else None
        try:
            yield Engine(
                settings=settings, store=store, embedder=embedder or WordEmbedder(), reranker=reranker, llm=llm
            )
        finally:
            for part in (embedder, reranker, llm):
                if part is not None:
                    await part.close()


def _embedding(address: str) -> EmbedderSettings:
    return EmbedderSettings(provider="openai", model="words-64", base_url=address, timeout=DEADLINES["embed"])


def _reranking(address: str) -> RerankerSettings:
    return RerankerSettings(provider="cohere", model="overlap", url=address, budget=DEADLINES["rerank"])


def _writing(server: ScriptedLlm, address: str) -> LlmSettings:
    return server.settings(
        base_url=address, connect_timeout=0.5, token_timeout=0.5, deadline=DEADLINES["generate"], retries=_RETRIES
    )


def _print(console: Console, rows: Sequence[Row]) -> None:
    table = Table(
        "stage", "fault", "outcome", "answered by", "degraded", "seconds", "deadline", "attempts", "money booked"
    )
    for row in rows:
        style = "bold red" if row.broken else ""
        seconds, deadline = f"{row.seconds:.2f}", f"{DEADLINES[row.stage]:.0f}"
        usage = " (usage estimated)" if row.estimated else ""
        table.add_row(
            row.stage,
            row.fault,
            row.outcome,
            row.answered_by + usage,
            ", ".join(row.degraded),
            seconds,
            deadline,
            str(row.attempts),
            _money(row),
            style=style,
        )
    console.print(table)
    unhandled, late = sum(row.unhandled for row in rows), sum(row.late for row in rows)
    misbooked = sum(row.misbooked for row in rows)
    in_time = f"{late} later than the deadline + {GRACE:.0f} s"
    console.print(f"{len(rows)} cells, {unhandled} unhandled, {in_time}, {misbooked} misbooked")


def _money(row: Row) -> str:
    booked = row.booked
    return f"{booked.billed} of {booked.rows} calls: {usd(booked.nano_usd):f} USD" if booked.rows else ""


async def _measured(dsn: str) -> list[Row]:
    return [await measure(dsn, stage, fault) for stage in STAGES for fault in FAULTS]


def main() -> int:
    """Measures and prints the matrix. 1 when a cell breaks the law."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    folder = Path(tempfile.mkdtemp(prefix="pincite-faults-"))
    with corpus(database_dsn(DatabaseSettings(data_dir=folder))) as dsn:
        rows = asyncio.run(_measured(dsn))
    _print(console, rows)
    return int(any(row.broken for row in rows))


if __name__ == "__main__":
    sys.exit(main())
