"""The pool, and the only two ways to a connection: as a caller, or for the tables that belong to no tenant."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar, cast

import psycopg
from opentelemetry.trace import Span, SpanKind
from pgvector.psycopg import register_vector_async
from psycopg import sql
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from retrieval.access import Caller, TenantId
from retrieval.database.connecting import PATIENCE
from retrieval.database.errors import generation_errors, store_errors
from retrieval.database.generations import GENERATIONS, NONE, Generation, entered
from retrieval.database.plans import QueryPlan, explained
from retrieval.database.statements import ReferenceStatement, TenantStatement
from retrieval.settings import DatabaseSettings
from retrieval.tracing import span

Connection = psycopg.AsyncConnection[tuple[object, ...]]
Row = TypeVar("Row")

APP_ROLE = "pincite_app"

_IDLE = "60s"
"""How long the server keeps a transaction, and what it has locked, for a client that says nothing: its host may have
died, which the server would else notice after two hours. Only moments of our own work stand between statements."""


class CallerSession:
    """One short transaction on a caller's behalf. Every statement gets `tenant_id` and `principals` bound."""

    def __init__(self, connection: Connection, caller: Caller, plans: list[QueryPlan] | None = None) -> None:
        self._connection = connection
        self._plans = plans
        self._identity = {"tenant_id": caller.tenant, "principals": sorted(caller.principals)}

    async def rows(self, row: type[Row], statement: TenantStatement, **parameters: object) -> list[Row]:
        """All rows, each as a `row` record whose fields are the columns. Raises `StoreUnavailable`."""
        bound = self._identity | parameters
        with store_errors(), _traced(statement) as traced:
            if self._plans is not None:
                explanation = await (await self._connection.execute(explained(statement), bound)).fetchall()
                self._plans += [QueryPlan(plan["Plan"]) for (plans,) in explanation for plan in cast("Any", plans)]
            async with self._connection.cursor(row_factory=class_row(row)) as cursor:
                await cursor.execute(statement.query, bound)
                found = await cursor.fetchall()
                traced.set_attribute("db.response.returned_rows", len(found))
                return found

    async def change(self, statement: TenantStatement, **parameters: object) -> int:
        """How many rows the statement wrote or took away. Raises `StoreUnavailable`."""
        with store_errors():
            return (await self._connection.execute(statement.query, self._identity | parameters)).rowcount

    async def set_local(self, **settings: int | str) -> None:
        """Server settings that live and die with this transaction, such as `hnsw__ef_search=200`."""
        with store_errors():
            await _all_at_once(
                self._connection, (set_local(name.replace("__", "."), value) for name, value in settings.items())
            )


class Store:
    """The database as the query path sees it. Open one with `open_store()`: it reads no generation of the index but, as
    long as it is there, the first one; see `on()`."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        settings: DatabaseSettings,
        plans: list[QueryPlan] | None = None,
        generation_id: int = NONE,
    ) -> None:
        self.generation_id = generation_id
        self._pool = pool
        self._settings = settings
        self._plans = plans

    def examining(self, plans: list[QueryPlan]) -> "Store":
        """This store, but a caller's statements are run twice, once to add to `plans`: for explanations alone."""
        return Store(self._pool, self._settings, plans, self.generation_id)

    def on(self, generation_id: int) -> "Store":
        """This store, reading this generation of the index; what outlives generations asks for `NONE`."""
        return Store(self._pool, self._settings, self._plans, generation_id)

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[CallerSession]:
        """A transaction that can only see the caller's tenant. Keep it short: no model runs inside.

        Raises `StoreUnavailable`, `TenantLeaving` from the moment its deletion has begun, and `GenerationChanged` where
        this generation of the index was dropped.
        """
        entry = tenant_entry(caller.tenant, self._settings.database_timeout)
        async with self._transaction((*entry, *entered(self.generation_id))) as connection:
            yield CallerSession(connection, caller, self._plans)

    async def reference_rows(self, row: type[Row], statement: ReferenceStatement, **parameters: object) -> list[Row]:
        """Rows of a table that belongs to no tenant. Raises `StoreUnavailable`."""
        async with self._transaction([self._clock()]) as connection:
            with store_errors(), _traced(statement):
                return await _rows(connection, row, statement, parameters)

    async def generations(self) -> list[Generation]:
        """Every generation of the index, oldest first. Not traced: every process asks once a second. Raises
        `StoreUnavailable`."""
        async with self._transaction([self._clock()]) as connection:
            with store_errors():
                return await _rows(connection, Generation, GENERATIONS, {})

    async def ping(self) -> None:
        """Returns when the database answers to the role that questions run as. Raises `StoreUnavailable`."""
        async with self._transaction([self._clock(), set_local("role", APP_ROLE)]):
            pass

    @asynccontextmanager
    async def _transaction(self, settings: Iterable[sql.Composed | bytes]) -> AsyncIterator[Connection]:
        """A transaction with two clocks: the server's on a statement, ours on the whole, for a server that hangs.

        Its beginning and its settings are one round trip.
        """
        with store_errors():
            async with asyncio.timeout(2 * self._settings.database_timeout), self._pool.connection() as connection:
                with generation_errors():
                    await _all_at_once(connection, settings)
                yield connection

    def _clock(self) -> sql.Composed:
        return set_local("statement_timeout", round(self._settings.database_timeout * 1000))


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
        check=_check,
        configure=_configure,
        kwargs={
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


def _traced(statement: TenantStatement | ReferenceStatement) -> AbstractContextManager[Span]:
    # By name: every statement stands in a file of that name, and parameters are nobody's business.
    attributes = {"db.system.name": "postgresql", "db.query.summary": statement.name}
    return span(statement.name, attributes, SpanKind.CLIENT)


async def _rows(
    connection: Connection, row: type[Row], statement: ReferenceStatement, parameters: Mapping[str, object]
) -> list[Row]:
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(statement.query, parameters)
        return await cursor.fetchall() if cursor.description else []


async def _configure(connection: Connection) -> None:
    await register_vector_async(connection)
    await connection.commit()


async def _check(connection: Connection) -> None:
    """A connection the server dropped while it was idle is replaced before use, not handed out broken. The server's
    farewell waits in the socket; where nothing does, asking would be a round trip for nothing."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        if selector.select(0):
            await AsyncConnectionPool.check_connection(connection)


async def _all_at_once(connection: Connection, statements: Iterable[sql.Composed | bytes]) -> None:
    """Sends them without waiting for one before the next."""
    async with connection.pipeline():
        for statement in statements:
            await connection.execute(statement)


@lru_cache(maxsize=1024)
def tenant_entry(tenant: TenantId, timeout: float) -> tuple[bytes, ...]:
    """What every tenant transaction starts with: its identity, and the question whether the tenant is leaving. The
    server ends it when its client falls silent."""
    # One statement for both: another `SET LOCAL` would be another message of every search.
    enter = sql.SQL("SELECT pincite_enter({}), set_config('idle_in_transaction_session_timeout', {}, true)")
    return (*tenant_identity(tenant, timeout), enter.format(sql.Literal(tenant), sql.Literal(_IDLE)).as_bytes())


def tenant_identity(tenant: TenantId, timeout: float) -> tuple[bytes, ...]:
    """The role without privileges, the tenant, a statement clock (s).

    Plans are made for the parameters at hand: a generic plan guesses that few documents are visible, and then
    compares every chunk instead of walking the index.

    Literals, not `set_config()`: a distributed Postgres propagates only `SET LOCAL`. Quoted once: composed anew, they
    would be a sixth of what a session costs the client.
    """
    settings = (
        ("role", APP_ROLE),
        ("pincite.tenant", tenant),
        ("statement_timeout", round(timeout * 1000)),
        ("plan_cache_mode", "force_custom_plan"),
    )
    return tuple(set_local(name, value).as_bytes() for name, value in settings)


def set_local(name: str, value: int | str) -> sql.Composed:
    """`SET LOCAL name = value`, both properly quoted."""
    return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
