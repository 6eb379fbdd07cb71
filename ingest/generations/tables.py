"""A generation's tables: made as another one's are, and dropped."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from psycopg.rows import class_row

from ingest.rows import Row
from retrieval.database.generations import FIRST, TABLES, schema_of, search_path
from retrieval.database.statements import reference_statement
from retrieval.database.store import APP_ROLE

_LOCK_TIMEOUT = "500ms"
"""Dropping locks `documents` for a moment, and questions wait behind who waits for a lock."""
_TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Constraint:
    name: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    name: str
    shown: str
    written: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Storage:
    options: str
    secured: bool


def make_tables(connection: psycopg.Connection[Any], template: int, generation_id: int) -> None:
    """Tables without rows for a new generation, in all else like those of the template: what migrations made of them.

    Inside the caller's transaction. Without the template's vector indexes, which are of its vectors' length.
    """
    names = {"schema": sql.Identifier(schema_of(generation_id)), "app": sql.Identifier(APP_ROLE)}
    connection.execute(sql.SQL("CREATE SCHEMA {schema}").format(**names))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {app}").format(**names))
    for table in TABLES:
        _make_table(connection, table, template, generation_id)


def drop_tables(connection: psycopg.Connection[Any], generation_id: int) -> None:
    """Drops a generation's tables, inside the caller's transaction. Raises psycopg's `LockNotAvailable`."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
    if generation_id == FIRST:
        tables = sql.SQL(", ").join(sql.Identifier("public", table) for table in TABLES)
        connection.execute(sql.SQL("DROP TABLE {}").format(tables))
    else:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema_of(generation_id))))


def patiently(connection: psycopg.Connection[Any], step: Callable[[], None]) -> None:
    """The step in a transaction, again and again while it cannot have its locks."""
    for left in reversed(range(_TRIES)):
        try:
            with connection.transaction():
                step()
                return
        except (LockNotAvailable, DeadlockDetected):
            if not left:
                raise
            time.sleep(0.25)


def _make_table(connection: psycopg.Connection[Any], table: str, template: int, generation_id: int) -> None:
    old, new = sql.Identifier(schema_of(template), table), sql.Identifier(schema_of(generation_id), table)
    # Names are written out without a schema where the search path leads to them, and are read again on another path.
    connection.execute(search_path(template))
    known = {"table": f"{schema_of(template)}.{table}"}
    [storage] = _rows(connection, _Storage, "storage", **known)
    constraints = _rows(connection, _Constraint, "constraints", **known)
    indexes = _rows(connection, _Index, "indexes", **known)
    policies = _rows(connection, _Policy, "policies", **known)
    connection.execute(search_path(generation_id))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(new, old))
    if storage.options:
        connection.execute(sql.SQL("ALTER TABLE {} SET ({})").format(new, _written(storage.options)))
    for each in constraints:
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
        connection.execute(add.format(new, sql.Identifier(each.name), _written(each.definition)))
    for index in indexes:
        connection.execute(_written(index.definition))
    if storage.secured:
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(new))
    for policy in policies:
        create = sql.SQL("CREATE POLICY {} ON {} USING ({}) WITH CHECK ({})")
        parts = sql.Identifier(policy.name), new, _written(policy.shown), _written(policy.written)
        connection.execute(create.format(*parts))
    grant = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}")
    connection.execute(grant.format(new, sql.Identifier(APP_ROLE)))


def _rows(connection: psycopg.Connection[Any], row: type[Row], name: str, **parameters: object) -> list[Row]:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(reference_statement("ingest.generations", name).query, parameters).fetchall()


def _written(text: str) -> sql.SQL:
    # Postgres' own words about our own tables.
    return sql.SQL(cast("LiteralString", text))  # type: ignore[redundant-cast]
