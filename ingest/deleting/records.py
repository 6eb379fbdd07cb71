"""Statements on one tenant's rows over one blocking connection, also while the tenant is leaving or gone."""

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.rows import TenantRows
from ingest.transactions import connected, standing_of
from retrieval.access import TenantId
from retrieval.database.errors import store_errors
from retrieval.database.generations import FIRST, TABLES, search_path
from retrieval.database.statements import ReferenceStatement
from retrieval.database.store import tenant_identity

_STATEMENT_SECONDS = 300.0


class Records(TenantRows):
    """One tenant's rows. Every method raises `StoreUnavailable`."""

    @contextmanager
    def transaction(self, *first: ReferenceStatement) -> Iterator[list[int]]:
        """A transaction as the tenant. What comes `first` runs as the role that administers tenants and keys: how many
        rows each statement touched."""
        with store_errors(), self._connection.transaction():
            bound = {"tenant_id": self._tenant}
            touched = [self._connection.execute(statement.query, bound).rowcount for statement in first]
            for setting in tenant_identity(self._tenant, _STATEMENT_SECONDS):
                self._connection.execute(setting)
            yield touched

    def times(self, table: str) -> Iterator[None]:
        """Once; for a table that each generation of the index has, once in each."""
        for generation_id in standing_of(self).all if table in TABLES else (FIRST,):
            self._connection.execute(search_path(generation_id))
            yield


@contextmanager
def open_records(dsn: str, tenant: TenantId) -> Iterator[Records]:
    """The tenant's rows, over a connection of its own. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        yield Records(connection, tenant)
