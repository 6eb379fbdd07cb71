"""Two who write at the same moment: one waits for the other, neither fails for it, and no document pays for it."""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from subprocess import PIPE, Popen
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.generations.records import open_generations
from ingest.store import open_writer
from retrieval.access import tenant_id
from retrieval.database import migrations
from retrieval.database.statements import reference_statement
from tests.queues import hand_in, rows, states, submission, turn, workshop

ENDPOINT = """
INSERT INTO webhook_endpoints (tenant_id, endpoint_id, url, events)
VALUES ('acme', gen_random_uuid(), 'http://example.org', %s)
RETURNING endpoint_id
"""
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def seen_to(dsn: str, *running: Future[Any]) -> bool:
    """Returns once all of these are through, or those that are not wait for locks; whether all are through."""
    while left := sum(not each.done() for each in running):
        if len(rows(dsn, WAITING)) >= left:
            return False
    return True


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


@pytest.mark.parametrize("name", ["generations", "rebuilding", "vector-index"])
def test_a_tenant_may_have_any_name(dsn: str, name: str) -> None:
    """Whoever builds or reads the index as a whole holds up no tenant that is called like it."""
    hand_in(dsn, submission(), tenant=tenant_id(name))

    def remove() -> int:
        with open_writer(dsn, tenant_id(name)) as writer:
            return writer.remove("pump.txt")

    with ThreadPoolExecutor(1) as thread, open_generations(dsn), psycopg.connect(dsn) as others:
        others.execute(reference_statement("ingest", "share_generations").query)
        others.execute(reference_statement("ingest", "lock_index_build").query)
        assert seen_to(dsn, thread.submit(remove))


def test_a_webhook_that_is_removed_fails_no_document(dsn: str) -> None:
    """A document that is settled while somebody takes away who is to be told of it is indexed, and nobody is told."""
    hand_in(dsn, submission())
    add = (
        "INSERT INTO webhook_endpoints (tenant_id, endpoint_id, url, events) VALUES ('acme', gen_random_uuid(), '', %s)"
    )
    rows(dsn, f"{add} RETURNING 1", ["document.indexed"])
    with ThreadPoolExecutor(1) as thread, psycopg.connect(dsn) as removing:
        removing.execute("DELETE FROM webhook_endpoints")
        settling = thread.submit(turn, workshop(dsn))
        assert not seen_to(dsn, settling)
    settling.result()
    assert states(dsn) == {"pump.txt": "indexed"}
