"""A connection that writes one tenant's documents, one writer at a time, in every generation of the index."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from retrieval.access import TenantId
from retrieval.database.connecting import connect
from retrieval.database.errors import store_errors
from retrieval.database.generations import FIRST, GENERATIONS, Generation, search_path
from retrieval.database.statements import ReferenceStatement, TenantStatement, reference_statement, tenant_statement
from retrieval.database.store import tenant_identity
from retrieval.errors import UnreadableDocument

Row = TypeVar("Row")

_STATEMENT_SECONDS = 300.0
"""One statement's clock while writing: the words of a book-sized document take seconds."""
_PAUSED = reference_statement("ingest", "writers_paused")
_PAUSE = 0.1
"""Seconds between two looks whether writers may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The generations there are while a transaction lasts."""

    live: int
    others: tuple[int, ...]


class TenantTurns:
    """One tenant's transactions over one connection; use it from one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId) -> None:
        self._connection = connection
        self._tenant = tenant

    def _in_each(self, standing: Standing) -> Iterator[None]:
        """Enters each generation in turn; the live one last, which is then the one entered."""
        for generation_id in (*standing.others, standing.live):
            self._enter(generation_id)
            yield

    def _enter(self, generation_id: int) -> None:
        self._connection.execute(search_path(generation_id))

    def _standing(self) -> Standing:
        found = {each.generation_id: each for each in self._rows(Generation, GENERATIONS)}
        live = next((number for number, each in found.items() if each.state == "live"), FIRST)
        return Standing(live=live, others=tuple(number for number in found if number != live))

    @contextmanager
    def _turn(self) -> Iterator[Standing]:
        """A transaction in the live generation that waits until no other writer is at work in this tenant, and that
        nobody moves the index during."""
        self._wait_for_a_move()
        with self._transaction():
            self._run(tenant_statement("ingest", "share_generations"))
            self._run(tenant_statement("ingest", "lock_tenant"))
            standing = self._standing()
            self._enter(standing.live)
            try:
                yield standing
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                raise UnreadableDocument("refused_by_database", str(error).split("\n", 1)[0]) from error

    def _wait_for_a_move(self) -> None:
        """Returns when the index is not being moved to another generation. Holds no transaction meanwhile."""
        with store_errors():
            while self._connection.execute(_PAUSED.query).fetchone() == (True,):
                time.sleep(_PAUSE)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with store_errors(), self._connection.transaction():
            for statement in tenant_identity(self._tenant, _STATEMENT_SECONDS):
                self._connection.execute(statement)
            yield

    def _rows(self, row: type[Row], statement: TenantStatement | ReferenceStatement, **parameters: object) -> list[Row]:
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(statement.query, parameters | {"tenant_id": self._tenant}).fetchall()

    def _run(self, statement: TenantStatement, **parameters: object) -> int:
        """How many rows it touched."""
        return self._connection.execute(statement.query, parameters | {"tenant_id": self._tenant}).rowcount

    def _run_each(self, statement: TenantStatement, rows: Iterable[dict[str, object]]) -> None:
        """The statement for each row of parameters, without waiting for one before the next is sent."""
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.query, [row | {"tenant_id": self._tenant} for row in rows])


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, each statement a transaction. Raises `StoreUnavailable`."""
    with store_errors():
        connection = connect(dsn, autocommit=True)
    with connection:
        yield connection
