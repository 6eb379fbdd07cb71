"""`pincite worker` and `pincite jobs`."""

import asyncio
import json
import signal
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from ingest.embedding import Configured, embedding, live_embedder
from ingest.queueing.following import job_documents, list_jobs, read_job
from ingest.queueing.line import open_line
from ingest.queueing.measuring import serve_measures
from ingest.queueing.records import Job, Revision
from ingest.queueing.turns import Workshop
from ingest.queueing.worker import open_workshop, work
from ingest.webhooks.telling import tell
from retrieval.access import tenant_id
from retrieval.cli import with_store
from retrieval.database.preparing import prepare_database
from retrieval.database.reaching import database_reached
from retrieval.settings import Settings
from retrieval.telemetry import Telemetry, telemetry_of

_MOST = 1000

jobs = typer.Typer(no_args_is_help=True, help="What was handed in to be indexed, and what became of it.")
Tenant = Annotated[str, typer.Option(help="The tenant")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs")]


def worker_command() -> None:
    """Index what is handed in over HTTP and tell webhooks, until stopped. Start as many as you like, on any host."""
    settings = Settings()
    try:
        asyncio.run(_until_reached(settings))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise typer.Exit(130) from None
    dsn, opening = prepare_database(settings), Configured(settings.embedder)
    live_embedder(dsn, opening)  # one that does not open is to be said now
    telemetry = telemetry_of(settings.telemetry)
    serve_measures(telemetry, settings.worker.metrics_port)
    with (
        open_workshop(dsn, embedding(dsn, opening), settings, telemetry) as workshop,
        suppress(asyncio.CancelledError, KeyboardInterrupt),
    ):
        asyncio.run(_until_stopped(workshop, settings, telemetry))
    typer.echo("stopped: what was not done waits for another worker")


async def _until_reached(settings: Settings) -> None:
    waiting = asyncio.current_task()
    assert waiting is not None
    # As a container's first process, it would not hear the signal otherwise.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, waiting.cancel)
    await database_reached(settings.database)


async def _until_stopped(workshop: Workshop, settings: Settings, telemetry: Telemetry) -> None:
    working = asyncio.gather(work(workshop), tell(workshop.dsn, settings, telemetry))

    def stop() -> None:
        workshop.stopping.set()
        working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    typer.echo("Pincite's worker waits for documents")
    try:
        await working
    finally:
        workshop.stopping.set()  # whatever it ends by: a turn may wait for a database that does not come back


@jobs.command("list")
def list_command(tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's jobs, the newest first, a line each."""
    owner = tenant_id(tenant)
    for job in asyncio.run(with_store(lambda store: list_jobs(store, owner, _MOST))):
        print(_as_json(job) if as_json else _line(job))


@jobs.command("show")
def show_command(tenant: Tenant, job_id: UUID, as_json: AsJson = False) -> None:
    """How far a job has come, and what became of each document."""
    owner = tenant_id(tenant)
    job = asyncio.run(with_store(lambda store: read_job(store, owner, job_id)))
    print(_as_json(job) if as_json else _line(job))
    after = 0
    while documents := asyncio.run(with_store(lambda store: job_documents(store, owner, job_id, _MOST, after))):  # noqa: B023 - run at once
        for revision in documents:
            print(_as_json(revision) if as_json else _outcome(revision))
        after = documents[-1].position


@jobs.command("retry")
def retry_command(
    tenant: Tenant, job_id: Annotated[UUID | None, typer.Argument(help="[default: all of the tenant's]")] = None
) -> None:
    """Try failed documents again: not those that were handed in anew since."""
    with open_line(prepare_database(Settings()), tenant_id(tenant)) as line:
        print(f"{line.retry(job_id)} documents wait again")


@jobs.command("cancel")
def cancel_command(tenant: Tenant, job_id: UUID) -> None:
    """Index nothing more of a job; what is indexed stays."""
    with open_line(prepare_database(Settings()), tenant_id(tenant)) as line:
        print(f"{line.cancel(job_id)} documents cancelled")


def _line(job: Job) -> str:
    counts = ("waiting", "indexed", "updated", "unchanged", "failed", "superseded", "cancelled")
    told = ", ".join(f"{name} {getattr(job, name)}" for name in counts if getattr(job, name))
    return f"{job.job_id} {job.submitted_at:%Y-%m-%d %H:%M} {job.state}: {told}"


def _outcome(revision: Revision) -> str:
    why = f": {revision.error_code}: {revision.error_message}" if revision.error_code else ""
    until = f" until {revision.due_at:%H:%M:%S}" if revision.state == "queued" and why else ""
    return f"  {revision.uri} {revision.state}{until} (attempts {revision.attempts}){why}"


def _as_json(record: Job | Revision) -> str:
    state = {"state": record.state} if isinstance(record, Job) else {}
    return json.dumps(asdict(record) | state, default=str, ensure_ascii=False)
