"""A connection that writes one tenant's documents, one writer at a time, in every generation of the index."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from ingest.rows import Row, TenantRows
from retrieval.access import TenantId
from retrieval.database.connecting import connect
from retrieval.database.errors import store_errors
from retrieval.database.generations import FIRST, GENERATIONS, Generation, live_one, search_path
from retrieval.database.statements import TenantStatement, reference_statement, tenant_statement
from retrieval.database.store import tenant_entry
from retrieval.errors import GenerationChanged, UnreadableDocument

Role = TypeVar("Role", bound="TenantTransactions")

_STATEMENT_SECONDS = 300.0
"""One statement's clock while writing: the words of a book-sized document take seconds."""
_PAUSED = reference_statement("ingest", "writers_paused")
_LET_GO = reference_statement("ingest", "let_go")
_NOTICE_DEATH = reference_statement("ingest", "notice_death")
_PAUSE = 0.1
"""Seconds between two looks whether writers may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The generations there are while a transaction lasts."""

    live: int
    others: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        """The live one last."""
        return *self.others, self.live


class TenantTransactions:
    """One tenant's transactions over one connection, in one generation of the index or (None) in the one that is live;
    use it from one thread at a time. None begins once the tenant is leaving."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId, generation_id: int | None = None) -> None:
        self._connection = connection
        self._tenant = tenant
        self._generation_id = generation_id
        self._on = TenantRows(connection, tenant)

    def acting_as(self, role: type[Role]) -> Role:
        """The same connection, for what another kind of writer does."""
        return role(self._connection, self._tenant)

    def _home(self, standing: Standing) -> int:
        """The generation that this reads and writes."""
        if self._generation_id is None:
            return standing.live
        # Not a dropped one: the search path would lead to the first one's tables.
        if self._generation_id not in standing.all:
            raise GenerationChanged(f"generation {self._generation_id} was dropped")
        return self._generation_id

    def _in_each(self, standing: Standing) -> Iterator[None]:
        """Enters each generation in turn, and its own again in the end."""
        for generation_id in standing.all:
            self._enter(generation_id)
            yield
        self._enter(self._home(standing))

    def _enter(self, generation_id: int) -> None:
        self._connection.execute(search_path(generation_id))

    @contextmanager
    def _turn(self) -> Iterator[Standing]:
        """A transaction in its generation that waits until no other writer is at work in this tenant, and that nobody
        moves the index during."""
        self._wait_for_a_move()
        with self._transaction():
            self._run(tenant_statement("ingest", "share_generations"))
            self._run(tenant_statement("ingest", "lock_tenant"))
            standing = standing_of(self._on)
            self._enter(self._home(standing))
            try:
                yield standing
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                raise UnreadableDocument("refused_by_database", str(error).split("\n", 1)[0]) from error

    @contextmanager
    def _looking(self) -> Iterator[Standing]:
        """A transaction in its generation that waits for nobody."""
        with self._transaction():
            standing = standing_of(self._on)
            self._enter(self._home(standing))
            yield standing

    def _wait_for_a_move(self) -> None:
        """Returns when the index is not being moved to another generation. Holds no transaction meanwhile: inside one,
        who moves the index waits for this."""
        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            return
        with store_errors():
            while self._connection.execute(_PAUSED.query).fetchone() == (True,):
                time.sleep(_PAUSE)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction on what is the same in all generations."""
        with store_errors(), self._connection.transaction():
            for statement in tenant_entry(self._tenant, _STATEMENT_SECONDS):
                self._connection.execute(statement)
            yield

    def _rows(self, row: type[Row], statement: TenantStatement, **parameters: object) -> list[Row]:
        return self._on.rows(row, statement, **parameters)

    def _run(self, statement: TenantStatement, **parameters: object) -> int:
        return self._on.run(statement, **parameters)

    def _run_each(self, statement: TenantStatement, rows: Iterable[dict[str, object]]) -> None:
        """The statement for each row of parameters, without waiting for one before the next is sent."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.query, [row | {"tenant_id": self._tenant} for row in rows])


def standing_of(on: TenantRows) -> Standing:
    """The generations there are at this moment of the transaction; the first one, where nothing was ingested yet."""
    found = on.rows(Generation, GENERATIONS)
    live = live_one(found)
    number = live.generation_id if live else FIRST
    return Standing(live=number, others=tuple(each.generation_id for each in found if each.generation_id != number))


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, each statement a transaction. Raises `StoreUnavailable`."""
    with store_errors():
        connection = connect(dsn, autocommit=True)
    with connection:
        yield connection


@contextmanager
def locking(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Like `connected()`, for a session that takes locks: they are free once this is over, not a moment later, when the
    server notices that the connection was closed, and a minute after its host died."""
    with connected(dsn) as connection:
        with store_errors():
            connection.execute(_NOTICE_DEATH.query)
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.execute(_LET_GO.query)
