"""Two who write at the same moment: one waits for the other, neither fails for it, and no document pays for it."""

import sys
from subprocess import PIPE, Popen

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from retrieval.database import migrations


def test_services_may_start_together_on_an_empty_database(server: str) -> None:
    """Each brings it up to date or finds that it is."""
    name, dsn = sql.Identifier("started_together"), make_conninfo(server, dbname="started_together")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            code = f"from retrieval.database import migrations; migrations.upgrade({dsn!r})"
            starting = [Popen([sys.executable, "-c", code], stderr=PIPE) for _ in range(2)]
            said = [each.communicate()[1] for each in starting]
            assert [each.returncode for each in starting] == [0, 0], said
            migrations.check_schema(dsn)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
