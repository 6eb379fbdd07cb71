"""Procrastinate's apps: how they reach the database, and how they are opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector

from retrieval.database.connecting import PATIENCE
from retrieval.settings import WorkerSettings


def app_on(dsn: str, worker: WorkerSettings, connections: int) -> App:
    """An app without tasks, over at most so many connections: straight to Postgres, for it listens."""
    direct = worker.direct_url.get_secret_value() if worker.direct_url else dsn
    kwargs = {"application_name": "pincite", **PATIENCE}
    return App(connector=PsycopgConnector(conninfo=direct, min_size=1, max_size=connections, kwargs=kwargs))


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[App]:
    """The app with its connections. They end also where this is cancelled while they are made: the library's own way
    leaves them to themselves then, and the process never ends."""
    try:
        await app.open_async()
        yield app
    finally:
        await app.close_async()
