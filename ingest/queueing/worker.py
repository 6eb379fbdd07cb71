"""The worker: takes one tenant's turn after the other, as procrastinate hands them out.

A waiting turn is one row however many documents a tenant has waiting, and who is not done after a turn goes to the end
of the line: a tenant's million documents do not delay another one's first.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import BoundedSemaphore

import structlog
from procrastinate import App, JobContext
from procrastinate.jobs import Status
from psycopg.rows import class_row

from ingest.apps import app_on, kept_up, opened, take_jobs
from ingest.embedding import Embedding
from ingest.examining import open_parsers
from ingest.queueing.line import open_line
from ingest.queueing.measuring import gauging, observing
from ingest.queueing.mishaps import resume, see_through
from ingest.queueing.records import Depth
from ingest.queueing.turns import Workshop
from ingest.situating.situator import situators
from ingest.transactions import connected
from retrieval.access import TenantId, tenant_id
from retrieval.database.errors import store_errors
from retrieval.database.statements import reference_statement
from retrieval.settings import Settings
from retrieval.telemetry import Telemetry

_log = structlog.get_logger(__name__)

_POLL = 1.0
"""Seconds between two looks at the line when nobody says that there is something in it."""
_LAST = 20.0
"""Seconds a turn may take to come to its end when the worker is stopped."""
_ALL_QUEUES = ["turns", "house"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    tenant_id: str


@contextmanager
def open_workshop(
    dsn: str,
    embedding: Embedding,
    settings: Settings,
    telemetry: Telemetry | None = None,
) -> Iterator[Workshop]:
    """What a worker needs, with processes that parse; they end at the end. `telemetry` is told how it goes."""
    telemetry = telemetry or Telemetry()
    with open_parsers(settings.worker.parsers) as parsers:
        yield Workshop(
            dsn=dsn,
            embedding=embedding,
            ingest=settings.ingest,
            worker=settings.worker,
            outbound=settings.outbound,
            parsers=parsers,
            settled=observing(telemetry),
            measured=gauging(telemetry),
            situating=situators(dsn, settings),
            fetches=BoundedSemaphore(max(1, settings.worker.turns - 1)),
        )


async def work(workshop: Workshop) -> None:
    """Works until it is cancelled; then ends what it has begun. Outlives the database being away."""
    # Their own: where turns wait for a model, what loads it in one of the loop's threads must not wait for them.
    # Twice as many as turns: those of a connection that was lost may still be at it.
    threads = ThreadPoolExecutor(2 * workshop.worker.turns, thread_name_prefix="turn")
    try:
        await kept_up(partial(_work, workshop, threads), "worker_begins_anew", _LAST)
    finally:
        await asyncio.to_thread(threads.shutdown)


async def _work(workshop: Workshop, threads: Executor) -> None:
    async with opened(_app(workshop, threads)) as app:
        await take_jobs(app, workshop.worker, _ALL_QUEUES, at_once=workshop.worker.turns, last=_LAST, poll=_POLL)


def _app(workshop: Workshop, threads: Executor) -> App:
    app = app_on(workshop.dsn, workshop.worker, workshop.worker.turns + 2)

    @app.task(name="turn", queue="turns", pass_context=True)
    async def turn(context: JobContext, tenant: str) -> None:
        # In a thread to its end: it goes on when this is cancelled because the database went away.
        taken = partial(see_through, workshop, tenant_id(tenant), _number(context))
        await asyncio.get_running_loop().run_in_executor(threads, taken)

    # Ahead of all turns, and never twice in the line.
    @app.periodic(cron="* * * * * */5")
    @app.task(name="recover", queue="house", priority=10, queueing_lock="recover")
    async def recover(timestamp: int) -> None:  # noqa: ARG001 - procrastinate says when
        await _recover(app, workshop)

    @app.periodic(cron="* * * * *")
    @app.task(name="sweep", queue="house", priority=10, queueing_lock="sweep")
    async def sweep(timestamp: int) -> None:  # noqa: ARG001 - procrastinate says when
        await sweep_tenants(app, workshop)

    return app


async def _recover(app: App, workshop: Workshop) -> None:
    """Gives the turns of lost workers to others."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=workshop.worker.lost_after):
        assert job.id is not None
        if job.task_name == "turn":
            tenant = tenant_id(str(job.task_kwargs["tenant"]))
            released = await asyncio.to_thread(resume, workshop.dsn, tenant, job.id, blamed=True)
            _log.warning("worker_lost", documents=released)
        await app.job_manager.finish_job_by_id_async(job_id=job.id, status=Status.FAILED, delete_job=True)


async def sweep_tenants(app: App, workshop: Workshop) -> None:
    """Sees to what nobody sees to: documents held by turns that are gone, lines nobody was told of, old jobs. Looks how
    all the lines stand."""
    depths: list[Depth] = []
    for tenant in await asyncio.to_thread(_tenants, workshop.dsn):
        depths.append(await asyncio.to_thread(_forget, workshop, tenant))
        for turn_id in await asyncio.to_thread(_running_turns, workshop.dsn, tenant):
            if not list(await app.job_manager.list_jobs_async(id=turn_id)):
                await asyncio.to_thread(_release, workshop.dsn, tenant, turn_id, blamed=False)
    workshop.measured(depths)


def _release(dsn: str, tenant: TenantId, turn_id: int, *, blamed: bool) -> int:
    with open_line(dsn, tenant) as line:
        return line.release(turn_id, blamed=blamed)


def _running_turns(dsn: str, tenant: TenantId) -> list[int]:
    with open_line(dsn, tenant) as line:
        return line.running_turns()


def _forget(workshop: Workshop, tenant: TenantId) -> Depth:
    with open_line(workshop.dsn, tenant) as line:
        line.sweep(datetime.now(UTC) - timedelta(days=workshop.worker.keep_days))
        line.wake_if_due()
        return line.depth()


def _tenants(dsn: str) -> list[TenantId]:
    statement = reference_statement("ingest.queueing", "tenants")
    with connected(dsn) as connection, store_errors(), connection.cursor(row_factory=class_row(_Tenant)) as cursor:
        return [TenantId(tenant.tenant_id) for tenant in cursor.execute(statement.query).fetchall()]


def _number(context: JobContext) -> int:
    assert context.job.id is not None
    return context.job.id
