"""Two who write at the same moment: one waits for the other, neither fails for it, and no document pays for it."""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from subprocess import PIPE, Popen
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.deleting.documents import delete_documents
from ingest.deleting.receipts import Deletion
from ingest.generations.records import open_generations
from ingest.queueing.line import Line, open_line
from ingest.queueing.records import Settlement
from ingest.store import open_writer
from ingest.transactions import connected
from retrieval.access import tenant_id
from retrieval.database import migrations
from retrieval.database.statements import TenantStatement, reference_statement
from tests.queues import ACME, hand_in, rows, states, submission, turn, workshop

ENDPOINT = """
INSERT INTO webhook_endpoints (tenant_id, endpoint_id, url, events)
VALUES ('acme', gen_random_uuid(), 'http://example.org', %s)
RETURNING endpoint_id
"""
MORE = """
INSERT INTO revisions (tenant_id, revision_id, job_id, position, document_id, uri, file_name, url, acl, metadata, bytes,
                       state, due_at, submitted_at)
SELECT tenant_id, gen_random_uuid(), job_id, number, gen_random_uuid(), uri || number, file_name, url, acl, metadata,
       bytes, state, due_at, submitted_at
FROM revisions, generate_series(2, %s + 1) AS number
RETURNING 1
"""
CLAIM = UUID(int=7)
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
    rows(dsn, ENDPOINT, ["document.indexed"])
    with ThreadPoolExecutor(1) as thread, psycopg.connect(dsn) as removing:
        removing.execute("DELETE FROM webhook_endpoints")
        settling = thread.submit(turn, workshop(dsn))
        assert not seen_to(dsn, settling)
    settling.result()
    assert states(dsn) == {"pump.txt": "indexed"}


def test_what_fails_while_others_are_tried_again_is_left_to_who_hands_it_in_anew(dsn: str) -> None:
    """Neither who tries again nor who hands in fails, and what was handed in last waits."""
    hand_in(dsn, submission("first"))
    fail(dsn)
    hand_in(dsn, submission(text="old"))

    overtaken: list[bool] = []

    class Overtaken(Line):
        def _rows(self, row: type[Any], statement: TenantStatement, **parameters: object) -> list[Any]:
            found = super()._rows(row, statement, **parameters)
            if statement.name == "failed_documents" and not overtaken:
                overtaken.append(True)
                fail(dsn)
                Line(submitting, ACME).submit("tests", [submission(text="new")])
            return found

    with connected(dsn) as retrying, connected(dsn) as submitting, ThreadPoolExecutor(1) as thread:
        with submitting.transaction():
            again = thread.submit(Overtaken(retrying, ACME).retry)
            seen_to(dsn, again)
        assert again.result() == 1
    assert states(dsn) == {"first": "queued", "pump.txt": "queued"}


def test_any_number_of_documents_is_tried_again(dsn: str) -> None:
    """Also more than a server has locks for."""
    hand_in(dsn, submission(url="http://example.org", content=b""))
    fail(dsn)
    rows(dsn, MORE, 20_000)
    rows(dsn, "UPDATE jobs SET total = 20001, failed = 20001 RETURNING 1")
    with open_line(dsn, ACME) as line:
        assert line.retry() == 20_001
    assert rows(dsn, "SELECT waiting, failed FROM jobs") == [(20_001, 0)]


def test_old_failures_are_deleted_and_swept_at_once(dsn: str) -> None:
    """Who deletes a document and who sweeps the job in which it failed wait for each other in one order."""
    hand_in(dsn, submission())
    fail(dsn)

    def sweep() -> int:
        with open_line(dsn, ACME) as line:
            return line.sweep(datetime.now(UTC) + timedelta(days=1))

    deletion = Deletion(dsn=dsn, tenant=ACME, asked_by="tests", asked_at=datetime.now(UTC))
    with ThreadPoolExecutor(2) as threads, psycopg.connect(dsn) as reading:
        reading.execute("SELECT FROM uploads FOR KEY SHARE")
        deleting = threads.submit(delete_documents, deletion, uris=["pump.txt"])
        assert not seen_to(dsn, deleting)
        sweeping = threads.submit(sweep)
        assert not seen_to(dsn, deleting, sweeping)
    assert (deleting.result().removed["uploads"], sweeping.result()) == (1, 1)


def fail(dsn: str) -> None:
    """What waits has failed."""
    with open_line(dsn, ACME) as line:
        for revision in line.claim(1, CLAIM, 10_000):
            failed = Settlement(
                revision_id=revision.revision_id, state="failed", error_code="empty", error_message="no text"
            )
            line.settle(CLAIM, [failed], lambda _uris: None)
