"""A worker inside the process that serves: an embedded Pincite needs no second one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ingest.embedding import Opening, embedding
from ingest.queueing.worker import open_workshop, work
from ingest.webhooks.telling import tell
from retrieval.database.generations import Generation
from retrieval.database.server import database_dsn
from retrieval.engine import Engine
from retrieval.errors import EmbedderUnavailable
from retrieval.models.protocols import Embedder
from retrieval.serving import Missing
from retrieval.settings import Settings
from retrieval.stopping import stopped


@asynccontextmanager
async def working(settings: Settings, engine: Engine) -> AsyncIterator[None]:
    """Indexes what is handed in, and tells webhooks, for as long as it lasts, where the settings want it here."""
    inside = settings.worker.inside
    if not (settings.database.database_url is None if inside is None else inside):
        yield
        return
    dsn = await asyncio.to_thread(database_dsn, settings.database)
    with open_workshop(dsn, embedding(dsn, _engines_own(engine)), settings, engine.telemetry) as workshop:
        parts = work(workshop), tell(dsn, settings, engine.telemetry)
        tasks = [*map(asyncio.create_task, parts)]
        try:
            yield
        finally:
            workshop.stopping.set()
            await stopped(*tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()  # raises what it ended by, long before


def _engines_own(engine: Engine) -> Opening:
    """Gives a generation's embedder as questions have it, to the worker's threads: no model is loaded twice."""
    loop = asyncio.get_running_loop()

    async def of(generation: Generation | None) -> Embedder | Missing:
        if generation is None or engine.models is None:
            return engine.embedder
        return (await engine.models.of(generation)).embedder

    def opened(generation: Generation | None) -> Embedder:
        embedder = asyncio.run_coroutine_threadsafe(of(generation), loop).result()
        if isinstance(embedder, Missing):
            raise EmbedderUnavailable(embedder.reason)
        return embedder

    return opened
