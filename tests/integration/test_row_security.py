"""The second wall: what Postgres itself refuses when the first one, the predicate, is forgotten."""

from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from retrieval.access import TenantId, caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import tenant_identity
from retrieval.engine import Engine
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
