"""Databases on which nothing is spent."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from retrieval.database.store import Store
from tests.bookkeeping import opened
from tests.conftest import new_database
from tests.faults.matrix import corpus


@pytest.fixture(scope="module")
def accounts_database(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
def accounts(accounts_database: str) -> str:
    """A database with two tenants that have spent nothing."""
    with psycopg.connect(accounts_database) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('acme'), ('beta')")
    return accounts_database


@pytest.fixture
async def accounts_store(accounts: str) -> AsyncIterator[Store]:
    async with opened(accounts) as store:
        yield store


@pytest.fixture(scope="module")
def pump_corpus(server: str) -> Iterator[str]:
    with corpus(server) as dsn:
        yield dsn


@pytest.fixture
def unspent(pump_corpus: str) -> str:
    """A corpus of one document, with nothing spent on it."""
    with psycopg.connect(pump_corpus) as connection:
        connection.execute("TRUNCATE spending_accounts, spending_calls, spending_windows, budgets")
    return pump_corpus
