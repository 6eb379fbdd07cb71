"""The second wall: what Postgres itself refuses when the first one, the predicate, is forgotten."""

import time
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from ingest.transactions import connected
from retrieval.access import TenantId, caller
from retrieval.database.errors import store_errors
from retrieval.database.statements import TenantStatement
from retrieval.database.store import tenant_entry, tenant_identity
from retrieval.engine import Engine
from retrieval.errors import StoreUnavailable
from retrieval.settings import Settings


@dataclass(frozen=True)
class _Tenant:
    tenant_id: str


@pytest.mark.model
async def test_a_forgotten_predicate_still_shows_one_tenant(engine: Engine) -> None:
    """A statement without `tenant_id =` sees only the caller's tenant."""
    everything = TenantStatement(sql.SQL("SELECT DISTINCT tenant_id FROM chunks"))
    for tenant in ("halden", "brightwater"):
        async with engine.store.session(caller(tenant, [])) as session:
            assert await session.rows(_Tenant, everything) == [_Tenant(tenant)]


@pytest.mark.model
def test_without_a_tenant_nothing_is_seen(sample_settings: Settings) -> None:
    """The app's role without an identity sees no document at all."""
    assert sample_settings.database.database_url is not None
    with psycopg.connect(sample_settings.database.database_url.get_secret_value()) as connection:
        connection.execute("SET LOCAL ROLE pincite_app")
        for table in ("documents", "chunks", "embeddings", "term_statistics", "language_statistics"):
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            assert row == (0,), table


def test_another_tenants_rows_cannot_be_written(dsn: str) -> None:
    """Writing a row for another tenant than one's own is refused by the database."""
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('mine'), ('theirs')")
        for statement in tenant_identity(TenantId("mine"), 5):
            connection.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO language_statistics VALUES ('theirs', 'en', 1)")


def test_a_client_that_falls_silent_holds_nothing_for_long(dsn: str) -> None:
    """The server ends its transaction: the rows of a host that died would be held for two hours. No defect of ours."""

    def fall_silent() -> None:
        with connected(dsn) as connection, store_errors(), connection.transaction():
            for statement in tenant_entry(TenantId("mine"), 5):
                connection.execute(statement)
            limit = connection.execute("SELECT current_setting('idle_in_transaction_session_timeout')").fetchone()
            assert limit == ("1min",)
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
            for _ in range(100):
                connection.execute("SELECT 1")
                time.sleep(0.1)

    with pytest.raises(StoreUnavailable):
        fall_silent()


def test_a_session_leaves_no_identity_behind(dsn: str) -> None:
    """Role and tenant end with the transaction, as they must behind a transaction pooler."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.transaction():
            for statement in tenant_identity(TenantId("mine"), 5):
                connection.execute(statement)
            inside = connection.execute("SELECT current_user, current_setting('pincite.tenant')").fetchone()
        outside = connection.execute("SELECT current_user, current_setting('pincite.tenant', true)").fetchone()
    assert inside == ("pincite_app", "mine")
    assert outside is not None
    assert outside[0] != "pincite_app"
    assert not outside[1]
