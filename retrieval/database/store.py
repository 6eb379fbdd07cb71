"""The pool, and the only two ways to a connection: as a caller, or for the tables that belong to no tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import sql
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from retrieval.access import Caller, TenantId
from retrieval.database.connecting import PATIENCE
from retrieval.database.errors import store_errors
from retrieval.database.plans import QueryPlan, explained
from retrieval.database.statements import ReferenceStatement, TenantStatement
from retrieval.settings import DatabaseSettings

Connection = psycopg.AsyncConnection[tuple[object, ...]]
Row = TypeVar("Row")

APP_ROLE = "pincite_app"


class CallerSession:
    """One short transaction on a caller's behalf. Every statement gets `tenant_id` and `principals` bound."""

    def __init__(self, connection: Connection, caller: Caller, plans: list[QueryPlan] | None = None) -> None:
        self._connection = connection
        self._plans = plans
        self._identity = {"tenant_id": caller.tenant, "principals": sorted(caller.principals)}

    async def rows(self, row: type[Row], statement: TenantStatement, **parameters: object) -> list[Row]:
        """All rows, each as a `row` record whose fields are the columns. Raises `StoreUnavailable`."""
        bound = self._identity | parameters
        with store_errors():
            if self._plans is not None:
                found = await (await self._connection.execute(explained(statement), bound)).fetchall()
                self._plans += [QueryPlan(plan["Plan"]) for (plans,) in found for plan in cast("Any", plans)]
            async with self._connection.cursor(row_factory=class_row(row)) as cursor:
                await cursor.execute(statement.query, bound)
                return await cursor.fetchall()

    async def set_local(self, **settings: int | str) -> None:
        """Server settings that live and die with this transaction, such as `hnsw__ef_search=200`."""
        with store_errors():
            for name, value in settings.items():
                await self._connection.execute(set_local(name.replace("__", "."), value))


class Store:
    """The database as the query path sees it. Open one with `open_store()`."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        settings: DatabaseSettings,
        plans: list[QueryPlan] | None = None,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._plans = plans

    def examining(self, plans: list[QueryPlan]) -> "Store":
        """This store, but a caller's statements are run twice, once to add to `plans`: for explanations alone."""
        return Store(self._pool, self._settings, plans)

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[CallerSession]:
        """A transaction that can only see the caller's tenant. Keep it short: no model runs inside.

        Raises `StoreUnavailable`.
        """
        async with self._transaction() as connection:
            with store_errors():
                for statement in tenant_identity(caller.tenant, self._settings.database_timeout):
                    await connection.execute(statement)
            yield CallerSession(connection, caller, self._plans)

    async def reference_rows(self, row: type[Row], statement: ReferenceStatement, **parameters: object) -> list[Row]:
        """Rows of a table that belongs to no tenant. Raises `StoreUnavailable`."""
        async with self._transaction() as connection:
            with store_errors():
                async with connection.cursor(row_factory=class_row(row)) as cursor:
                    await cursor.execute(statement.query, parameters)
                    return await cursor.fetchall() if cursor.description else []

    async def ping(self) -> None:
        """Returns when the database answers to the role that questions run as. Raises `StoreUnavailable`."""
        async with self._transaction() as connection:
            with store_errors():
                await connection.execute(set_local("role", APP_ROLE))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """A transaction with two clocks: the server's on a statement, ours on the whole, for a server that hangs."""
        seconds = self._settings.database_timeout
        with store_errors():
            async with asyncio.timeout(2 * seconds), self._pool.connection() as connection, connection.transaction():
                await connection.execute(set_local("statement_timeout", round(seconds * 1000)))
                yield connection


@asynccontextmanager
async def open_store(dsn: str, settings: DatabaseSettings, *, idle: int = 1) -> AsyncIterator[Store]:
    """A `Store` over a pool of at most `database_pool_size` connections, at least `idle`, closed at the end.

    Raises `StoreUnavailable` when no connection can be had within `database_timeout`.
    """
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        dsn,
        min_size=idle,
        max_size=settings.database_pool_size,
        timeout=settings.database_timeout,
        open=False,
        # A connection the server dropped while it was idle is replaced before use, not handed out broken.
        check=AsyncConnectionPool.check_connection,
        configure=register_vector_async,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 5 if settings.database_prepare else None,
            "application_name": "pincite",
            **PATIENCE,
            "connect_timeout": max(2, round(settings.database_timeout)),
        },
    )
    try:
        with store_errors():
            await pool.open(wait=True, timeout=settings.database_timeout)
        yield Store(pool, settings)
    finally:
        await pool.close()


def tenant_identity(tenant: TenantId, timeout: float) -> tuple[sql.Composed, ...]:
    """What every tenant transaction starts with: the role without privileges, the tenant, a statement clock (s).

    Plans are made for the parameters at hand: a generic plan guesses that few documents are visible, and then
    compares every chunk instead of walking the index.

    Literals, not `set_config()`: a distributed Postgres propagates only `SET LOCAL`.
    """
    return (
        set_local("role", APP_ROLE),
        set_local("pincite.tenant", tenant),
        set_local("statement_timeout", round(timeout * 1000)),
        set_local("plan_cache_mode", "force_custom_plan"),
    )


def set_local(name: str, value: int | str) -> sql.Composed:
    """`SET LOCAL name = value`, both properly quoted."""
    return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
