"""The schema goes up, down and up again, and a database that does not fit is refused with the reason."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.sources import Request
from retrieval.database import migrations
from retrieval.database.server import check_pgvector
from retrieval.engine import open_engine
from retrieval.errors import IndexMismatch, StoreUnavailable, StoreUnsupported
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder
from tests.integration.test_ingest import counted_right


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


def test_what_searches_look_up_is_made_for_documents_that_are_there(dsn: str, tmp_path: Path) -> None:
    """A database from before grants and fields gets them, and their counts, with the migrations."""
    for principal in ("group:eng", "everyone"):
        folder = tmp_path / principal.partition(":")[0]
        folder.mkdir()
        (folder / "pump.txt").write_text("The red pump needs oil every week.")
        acl = frozenset({principal, "user:ada"})
        metadata = {"who": principal, "reviewed": "2026-01-31", "pages": 3, "final": True, "long" * 60: "left out"}
        ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(folder,), acl=acl, metadata=metadata))
    migrations.downgrade(dsn, "0001")
    assert "grants" not in tables(dsn)
    migrations.upgrade(dsn)
    counted_right(dsn)


def test_words_are_read_anew_for_chunks_that_are_there(dsn: str, tmp_path: Path) -> None:
    """A database from before the parts of codes were words has, after the migration, what ingest makes of its texts."""
    (tmp_path / "pump.txt").write_text("The pump X-100/B stopped on 2024-05-01, see /etc/pump.yaml.")
    (tmp_path / "pumpe.txt").write_text("Die Pumpe X-100/B wurde am 2024-05-01 geprüft, und die Dichtung auch.")
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(tmp_path,), acl=frozenset({"everyone"})))
    as_ingested = _words(dsn)
    migrations.downgrade(dsn, "0004-1")
    assert _words(dsn) != as_ingested
    migrations.upgrade(dsn)
    assert _words(dsn) == as_ingested
    counted_right(dsn)


def _words(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT document_id, ordinal, term_keys, weights::text FROM chunk_terms ORDER BY 1, 2"
        ).fetchall()


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


def test_an_owner_without_privileges_can_act_as_the_app(server: str, dsn: str) -> None:
    """An owner who may administer the app's role but not act as it, as on managed servers, is granted that."""
    owned = make_conninfo(dsn, user="boss")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE boss LOGIN CREATEROLE")
        connection.execute("GRANT pincite_app TO boss WITH ADMIN TRUE, SET FALSE, INHERIT FALSE")
    try:
        migrations.downgrade(dsn, "base")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("DROP TABLE alembic_version")
            connection.execute("ALTER SCHEMA public OWNER TO boss")
        migrations.upgrade(owned)
        migrations.check_schema(owned)
    finally:
        drop_role(server, dsn, "boss")


def test_an_owner_who_may_not_grant_is_told_so(server: str, dsn: str) -> None:
    """A migration that Postgres refuses is one clear error, not a traceback."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
    try:
        migrations.downgrade(dsn, "base")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("DROP TABLE alembic_version")
            connection.execute("ALTER SCHEMA public OWNER TO clerk")
        with pytest.raises(StoreUnsupported, match="pincite_app"):
            migrations.upgrade(make_conninfo(dsn, user="clerk"))
    finally:
        drop_role(server, dsn, "clerk")


def drop_role(server: str, dsn: str, name: str) -> None:
    for each in (dsn, server):
        with psycopg.connect(each, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
