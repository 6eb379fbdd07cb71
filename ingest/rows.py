"""Statements on one tenant's rows over one blocking connection, inside a transaction that somebody else began."""

from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from retrieval.access import TenantId
from retrieval.database.statements import ReferenceStatement, TenantStatement

Row = TypeVar("Row")


class TenantRows:
    """One tenant's rows. Every statement gets `tenant_id` bound."""

    def __init__(self, connection: psycopg.Connection[Any], tenant: TenantId) -> None:
        self._connection = connection
        self._tenant = tenant

    def rows(self, row: type[Row], statement: TenantStatement | ReferenceStatement, **parameters: object) -> list[Row]:
        """All rows, each as a `row` record."""
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(statement.query, parameters | {"tenant_id": self._tenant}).fetchall()

    def run(self, statement: TenantStatement, **parameters: object) -> int:
        """How many rows it touched."""
        return self._connection.execute(statement.query, parameters | {"tenant_id": self._tenant}).rowcount
