"""The schema goes up, down and up again, and a database that does not fit is refused with the reason."""

import psycopg
import pytest

from retrieval.database import migrations
from retrieval.database.server import check_pgvector
from retrieval.engine import open_engine
from retrieval.errors import IndexMismatch, StoreUnavailable, StoreUnsupported
from tests.conftest import on_database


def tables(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return [str(row[0]) for row in rows]


def test_up_down_up(dsn: str) -> None:
    """Migrations undo themselves completely and can be run again."""
    first = tables(dsn)
    migrations.downgrade(dsn, "base")
    assert tables(dsn) == ["alembic_version"]
    migrations.upgrade(dsn)
    assert tables(dsn) == first


async def test_older_schema_is_refused(dsn: str) -> None:
    """A schema of another version stops the start and names the command that helps."""
    migrations.downgrade(dsn, "base")
    with pytest.raises(IndexMismatch, match="pincite db upgrade"):
        async with open_engine(on_database(dsn)):
            pass


@pytest.mark.parametrize("version", ["0.7.4", "0.8.3"])
def test_old_pgvector_is_refused(version: str) -> None:
    """A pgvector with known index corruption is refused, and the message says why."""
    with pytest.raises(StoreUnsupported, match="corrupt"):
        check_pgvector(version)


@pytest.mark.parametrize("version", ["0.8.4", "0.8.5", "0.10.0", "1.0"])
def test_good_pgvector_is_accepted(version: str) -> None:
    """Versions are compared as numbers, not as text."""
    check_pgvector(version)


async def test_unreachable_server_is_said_so() -> None:
    """A server that is not there is `StoreUnavailable`, within the time-out, without its password in the message."""
    with pytest.raises(StoreUnavailable) as caught:
        async with open_engine(on_database("postgresql://app:secret@127.0.0.1:1/pincite")):
            pass
    assert "secret" not in str(caught.value)
