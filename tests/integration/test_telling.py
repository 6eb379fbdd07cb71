"""From a document that is handed in to the webhook that hears of it: workers, wake-ups, and workers that are lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import psycopg

from ingest.store import add_tenant
from ingest.webhooks.delivering import Post, deliver_due
from ingest.webhooks.endpoints import Endpoints, NewSecret
from ingest.webhooks.events import EVENT_TYPES
from ingest.webhooks.signing import Seal
from ingest.webhooks.telling import remind, tell, tell_tenant
from retrieval.database.store import open_store
from retrieval.settings import Settings
from retrieval.stopping import stopped
from retrieval.telemetry import Telemetry
from retrieval.upstream.outbound import open_outbound
from tests.conftest import on_database
from tests.hostile_web import Web, answer, web
from tests.integration.test_worker import until
from tests.queues import ACME, hand_in, rows, submission, turn, workshop


def settings_for(dsn: str, server: Web) -> Settings:
    """On this database, with time for a busy machine."""
    settings = on_database(dsn)
    patient = settings.database.model_copy(update={"database_timeout": 60.0})
    return replace(settings, database=patient, outbound=server.settings())


@asynccontextmanager
async def telling(settings: Settings, dsn: str) -> AsyncIterator[None]:
    """The part of a worker that delivers, in this process."""
    worker = asyncio.create_task(tell(dsn, settings, Telemetry()))
    try:
        await until(lambda: bool(rows(dsn, "SELECT 1 FROM procrastinate_workers")))
        yield
    finally:
        await stopped(worker)
    assert worker.cancelled()


@asynccontextmanager
async def posting(settings: Settings, dsn: str) -> AsyncIterator[Post]:
    async with open_store(dsn, settings.database) as store, open_outbound(settings.outbound) as outbound:
        yield Post(store=store, outbound=outbound, seal=Seal(None), settings=settings.webhooks)


async def registered(post: Post, settings: Settings, url: str) -> NewSecret:
    return await Endpoints(post.store, settings).add(ACME, url, EVENT_TYPES)


def index_one(dsn: str) -> None:
    hand_in(dsn, submission())
    turn(workshop(dsn))


def told(server: Web) -> list[tuple[str, dict[str, object]]]:
    said = [json.loads(heard.body) for heard in server.heard]
    return sorted((each["type"], each["data"]) for each in said)


async def test_a_webhook_hears_how_documents_and_their_job_ended(dsn: str) -> None:
    """Ids, states and counts in the transaction that settles them; not a word of the documents."""
    add_tenant(dsn, ACME)
    async with web(answer(200)) as server:
        settings = settings_for(dsn, server)
        async with posting(settings, dsn) as post, telling(settings, dsn):
            await registered(post, settings, server.url())
            job = await asyncio.to_thread(
                hand_in, dsn, submission("good.txt"), submission("bad.pdf", file_name="bad.pdf")
            )
            await asyncio.to_thread(turn, workshop(dsn))
            await until(lambda: len(server.heard) == 3)
    [(failed, of_failed), (indexed, of_indexed), (finished, of_job)] = told(server)
    assert (failed, indexed, finished) == ("document.failed", "document.indexed", "job.finished")
    assert of_job == {"job_id": str(job.job_id), "total": 2, "failed": 1}
    assert of_failed["error_code"] == "not_a_pdf"
    assert (of_failed["state"], of_indexed["state"], of_indexed["job_id"]) == ("failed", "indexed", str(job.job_id))
    assert UUID(str(of_indexed["document_id"])) in {
        found[0] for found in rows(dsn, "SELECT document_id FROM documents")
    }
    assert not any(b"pump needs oil" in heard.body for heard in server.heard)


async def test_a_worker_tries_again_by_itself(dsn: str) -> None:
    """The first attempt after a failure comes within seconds, without anything else happening."""
    add_tenant(dsn, ACME)
    async with web(answer(500), answer(200)) as server:
        settings = settings_for(dsn, server)
        async with posting(settings, dsn) as post, telling(settings, dsn):
            await registered(post, settings, server.url())
            await asyncio.to_thread(index_one, dsn)
            await until(lambda: len(server.heard) == 3 and not pending(dsn))
    assert len({heard.headers["webhook-id"] for heard in server.heard}) == 2


async def test_who_is_reminded_tells_what_a_lost_worker_left(dsn: str) -> None:
    """A telling that is lost with its worker is asked for anew as soon as its leases are over, and not before."""
    add_tenant(dsn, ACME)
    async with web(answer(200)) as server:
        settings = settings_for(dsn, server)
        async with posting(settings, dsn) as post:
            await registered(post, settings, server.url())
            await asyncio.to_thread(index_one, dsn)
            change(dsn, "DELETE FROM procrastinate_jobs")  # taken by a worker that is gone
            change(dsn, "UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour'")
            await remind(post)
            assert tellings(dsn) == []
            change(dsn, "UPDATE webhook_deliveries SET next_attempt_at = now()")
            await remind(post)
            await remind(post)
            assert tellings(dsn) == [None]
            assert (await deliver_due(post, ACME)).delivered == 2


async def test_what_is_put_off_is_planned(dsn: str) -> None:
    """A telling for the moment when the next attempt is due, one however often it is asked for."""
    add_tenant(dsn, ACME)
    async with web(answer(503, retry_after="600")) as server:
        settings = settings_for(dsn, server)
        async with posting(settings, dsn) as post:
            await registered(post, settings, server.url())
            await asyncio.to_thread(index_one, dsn)
            change(dsn, "DELETE FROM procrastinate_jobs")
            await tell_tenant(post, ACME)
            [moment] = tellings(dsn)
    assert moment is not None
    assert 500 < float(str(moment)) < 700


def pending(dsn: str) -> bool:
    return bool(rows(dsn, "SELECT 1 FROM webhook_deliveries WHERE state = 'pending'"))


def tellings(dsn: str) -> list[object]:
    """In how many seconds each is due; None: at once."""
    planned = "SELECT extract(epoch FROM scheduled_at - now())::float8 FROM procrastinate_jobs WHERE task_name = 'tell'"
    return [row[0] for row in rows(dsn, planned)]


def change(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())
