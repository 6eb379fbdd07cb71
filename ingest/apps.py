"""Procrastinate's apps: how they reach the database, and how they are opened."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import psycopg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ProcrastinateException
from procrastinate.jobs import DeleteJobCondition

from retrieval.database.connecting import PATIENCE
from retrieval.errors import StoreUnavailable
from retrieval.settings import WorkerSettings
from retrieval.stopping import stopped

_log = structlog.get_logger(__name__)

_AGAIN = 2.0
"""Seconds before what lost its database begins anew."""


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


async def take_jobs(
    app: App, worker: WorkerSettings, queues: Sequence[str], *, at_once: int, last: float, poll: float = 5.0
) -> None:
    """Takes the queues' jobs until it is cancelled; those at work then have `last` seconds to end. `poll`: seconds
    between two looks when nobody says that there is something."""
    await app.run_worker_async(
        queues=queues,
        concurrency=at_once,
        fetch_job_polling_interval=poll,
        shutdown_graceful_timeout=last,
        delete_jobs=DeleteJobCondition.ALWAYS,
        install_signal_handlers=False,
        update_heartbeat_interval=worker.lost_after / 3,
        stalled_worker_timeout=worker.lost_after,
    )


async def kept_up(work: Callable[[], Coroutine[Any, Any, None]], mishap: str, last: float) -> NoReturn:
    """Works until it is cancelled, and begins anew where its database went away: the log says `mishap` then.

    `last`: seconds the work may take to end what it has begun. It is a task of its own, so that its cancellation cannot
    be lost in it: it ends although the database goes away just then.
    """
    while True:
        working = asyncio.create_task(work())
        try:
            await asyncio.wait({working})
            working.result()
        except (ProcrastinateException, psycopg.Error, StoreUnavailable, OSError) as error:
            _log.warning(mishap, reason=type(error).__name__)
        finally:
            await stopped(working, again=last + _AGAIN)
        await asyncio.sleep(_AGAIN)
