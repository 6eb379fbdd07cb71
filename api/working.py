"""A worker inside the process that serves: an embedded Pincite needs no second one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from ingest.queueing.measuring import observing
from ingest.queueing.worker import open_workshop, work
from ingest.webhooks.telling import tell
from retrieval.database.server import database_dsn
from retrieval.engine import Engine, Missing
from retrieval.settings import Settings

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def working(settings: Settings, engine: Engine) -> AsyncIterator[None]:
    """Indexes what is handed in, and tells webhooks, for as long as it lasts, where the settings want it here."""
    inside = settings.worker.inside
    if not (settings.database.database_url is None if inside is None else inside):
        yield
        return
    if isinstance(engine.embedder, Missing):
        _log.warning("no_worker_inside", reason=engine.embedder.reason)
        yield
        return
    dsn = await asyncio.to_thread(database_dsn, settings.database)
    with open_workshop(dsn, engine.embedder, settings, observing(engine.telemetry)) as workshop:
        worker = asyncio.gather(work(workshop), tell(dsn, settings))
        try:
            yield
        finally:
            workshop.stopping.set()
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
