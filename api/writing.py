"""What the API writes: blocking work on the tenants' lines, in a few threads with a few connections."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import psycopg
from fastapi import Request
from pgvector.psycopg import register_vector
from psycopg_pool import ConnectionPool

from ingest.queueing.curating import Curator
from retrieval.access import TenantId
from retrieval.admission import Admission
from retrieval.database.connecting import PATIENCE
from retrieval.database.errors import store_errors
from retrieval.database.server import database_dsn
from retrieval.settings import DatabaseSettings

T = TypeVar("T")
Pool = ConnectionPool[psycopg.Connection[Any]]

_AT_ONCE = 4
_WAITING = 200
_PATIENCE = 30.0
_LARGE = 4 * 1024 * 1024
"""Bytes from which a body is worked on alone: in memory it is there a few times over."""


class Writing:
    """Does blocking work, tenants in turn. Holds nothing until it is first used; close it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._turns = Admission(_AT_ONCE, _WAITING, _PATIENCE)
        self._turns_of_large = Admission(1, _WAITING, _PATIENCE)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "writing")
        self._lock = Lock()
        self._pool: Pool | None = None

    async def run(self, tenant: TenantId, work: Callable[[], T], size: int = 0) -> T:
        """What the work on so many bytes comes to, in a thread, when it is the tenant's turn.

        Once begun it is done, whether or not somebody waits for it. Raises `Overloaded`, and what the work raises.
        """
        async with AsyncExitStack() as stack:
            if size >= _LARGE:
                await stack.enter_async_context(self._turns_of_large.turn(tenant))
            await stack.enter_async_context(self._turns.turn(tenant))
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def with_curator(self, tenant: TenantId, work: Callable[[Curator], T]) -> T:
        """The same for work that needs the tenant's documents from beginning to end."""
        return await self.run(tenant, partial(self._with_curator, tenant, work))

    def _with_curator(self, tenant: TenantId, work: Callable[[Curator], T]) -> T:
        with self.curator(tenant) as curator:
            return work(curator)

    @contextmanager
    def curator(self, tenant: TenantId) -> Iterator[Curator]:
        """The tenant's documents and line, in one of the threads. Raises `StoreUnavailable`."""
        with store_errors(), self._opened().connection() as connection:
            yield Curator(connection, tenant)

    async def close(self) -> None:
        """Ends what is begun, and lets go of the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.close)

    def _opened(self) -> Pool:
        with self._lock:
            if self._pool is None:
                self._pool = _pool(self._settings)
            return self._pool


def writing_of(request: Request) -> Writing:
    """What writes for the application that serves this request."""
    writing: Writing = request.app.state.writing
    return writing


def _pool(settings: DatabaseSettings) -> Pool:
    return ConnectionPool(
        database_dsn(settings),
        min_size=0,
        max_size=_AT_ONCE,
        timeout=settings.database_timeout,
        open=True,
        check=ConnectionPool.check_connection,
        configure=register_vector,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 5 if settings.database_prepare else None,
            "application_name": "pincite",
            **PATIENCE,
            "connect_timeout": max(2, round(settings.database_timeout)),
        },
    )
