"""Documents that are handed in come to exactly one end, whoever works on them and whatever happens meanwhile."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from ingest.queueing.line import open_line
from ingest.queueing.records import Settlement
from retrieval.errors import EmbedderUnavailable, IdempotencyKeyReused
from retrieval.models.protocols import Vectors
from tests.fakes import TouchyEmbedder, WordEmbedder
from tests.integration.test_ingest import counted_right
from tests.queues import ACME, PUMP, counts, hand_in, rows, states, submission, texts, turn, waiting_turns, workshop

MUCH = 1_000_000


def test_what_is_handed_in_is_indexed(dsn: str) -> None:
    """A document waits in the same transaction as its job and its tenant's turn, and is stored in its settlement's."""
    job = hand_in(dsn, submission()).job_id
    assert (states(dsn), waiting_turns(dsn), texts(dsn)) == ({"pump.txt": "queued"}, ["acme"], {})
    shop = workshop(dsn)
    turn(shop)
    assert (states(dsn), texts(dsn)) == ({"pump.txt": "indexed"}, {"pump.txt": PUMP})
    assert counts(dsn, job) == {"indexed": 1}
    assert rows(dsn, "SELECT count(*) FROM uploads") == [(0,)]
    counted_right(dsn)


def test_the_same_again_is_not_embedded_again(dsn: str) -> None:
    """The same bytes are unchanged; with other permissions they are updated, and embedded once all the same."""
    embedder = WordEmbedder()
    shop = workshop(dsn, embedder)
    for acl in ("everyone", "everyone", "group:eng"):
        hand_in(dsn, submission(acl=frozenset({acl})))
        turn(shop)
    assert sorted(state for (state,) in rows(dsn, "SELECT state FROM revisions")) == ["indexed", "unchanged", "updated"]
    assert (len(embedder.embedded), rows(dsn, "SELECT acl FROM documents")) == (1, [(["group:eng"],)])
    counted_right(dsn)


def test_a_later_state_takes_the_place_of_an_earlier_one(dsn: str) -> None:
    """What waits is superseded by what is handed in after it; what is worked on as well, and is then not stored."""
    first = hand_in(dsn, submission(text="one")).job_id
    second = hand_in(dsn, submission(text="two")).job_id

    class Interrupted(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if not self.embedded:
                hand_in(dsn, submission(text="three"))
            return super().embed_documents(texts)

    shop = workshop(dsn, Interrupted())
    turn(shop)
    assert (counts(dsn, first), counts(dsn, second)) == ({"superseded": 1}, {"superseded": 1})
    assert texts(dsn) == {"pump.txt": "three"}
    counted_right(dsn)


def test_a_cancelled_job_stores_nothing_more(dsn: str) -> None:
    """What waits and what is worked on is cancelled at once; what is stored stays."""
    job = hand_in(dsn, submission("a.txt"), submission("b.txt", "Leave is 25 days.")).job_id

    class Cancelled(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            with open_line(dsn, ACME) as line:
                assert line.cancel(job) == 2
            return super().embed_documents(texts)

    shop = workshop(dsn, Cancelled())
    turn(shop)
    assert (texts(dsn), counts(dsn, job)) == ({}, {"cancelled": 2})


def test_one_bad_document_costs_itself(dsn: str) -> None:
    """A file that cannot be read, and a text that the embedder refuses, fail with their codes; the rest is stored. The
    failures can be tried again, and then succeed if the reason is gone."""
    bad = submission("bad.pdf", "no pdf", file_name="bad.pdf")
    job = hand_in(dsn, submission(), bad, submission("rude.txt", "This is unspeakable.")).job_id
    shop = workshop(dsn, TouchyEmbedder())
    turn(shop)
    assert counts(dsn, job) == {"indexed": 1, "failed": 2}
    codes = rows(dsn, "SELECT error_code FROM revisions WHERE state = 'failed' ORDER BY uri")
    assert codes == [("not_a_pdf",), ("refused_by_embedder",)]
    with open_line(dsn, ACME) as line:
        assert line.retry(job) == 2
    assert counts(dsn, job) == {"indexed": 1, "waiting": 2}
    shop = workshop(dsn)
    turn(shop)
    assert counts(dsn, job) == {"indexed": 2, "failed": 1}


def test_a_failure_that_was_handed_in_again_is_not_retried(dsn: str) -> None:
    """Trying an old state again would undo the new one."""
    shop = workshop(dsn)
    hand_in(dsn, submission(text=""))
    turn(shop)
    hand_in(dsn, submission())
    turn(shop)
    with open_line(dsn, ACME) as line:
        assert line.retry() == 0
    assert texts(dsn) == {"pump.txt": PUMP}


def test_a_failure_that_something_else_was_stored_after_is_not_retried(dsn: str) -> None:
    """Nor when no job tells of that any more: it was ingested by a command, or its job is forgotten."""
    shop = workshop(dsn)
    hand_in(dsn, submission(text=""))
    turn(shop)
    later = hand_in(dsn, submission(acl=frozenset({"group:eng"}))).job_id
    turn(shop)
    rows(dsn, "DELETE FROM jobs WHERE job_id = %s RETURNING 1", later)
    with open_line(dsn, ACME) as line:
        assert line.retry() == 0
    hand_in(dsn, submission(text=""))
    turn(shop)
    assert states(dsn) == {"pump.txt": "failed"}
    with open_line(dsn, ACME) as line:
        assert line.retry() == 1, "the old version is still the one that it was to replace"


def test_a_document_the_database_refuses_costs_itself(dsn: str) -> None:
    """Two documents are settled together; one that Postgres cannot keep fails, the other is stored."""
    job = hand_in(dsn, submission(), submission("nul.txt", metadata={"a": "b"})).job_id
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE documents ADD CHECK (uri <> 'nul.txt')")
    shop = workshop(dsn)
    turn(shop)
    assert counts(dsn, job) == {"indexed": 1, "failed": 1}
    assert rows(dsn, "SELECT error_code FROM revisions WHERE state = 'failed'") == [("refused_by_database",)]


def test_an_embedder_that_gives_way_fails_no_document(dsn: str) -> None:
    """All wait as long as it asked for, and say for what; no other document is tried until then."""

    class Busy(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            self.embedded += texts
            raise EmbedderUnavailable("too many requests", 120.0)

    job = hand_in(dsn, submission()).job_id
    embedder = Busy()
    shop = workshop(dsn, embedder)
    turn(shop)
    hand_in(dsn, submission("other.txt"))
    turn(shop)
    assert (counts(dsn, job), len(embedder.embedded)) == ({"waiting": 1}, 1)
    [(code, due_at)] = rows(dsn, "SELECT error_code, due_at FROM revisions WHERE uri = 'pump.txt'")
    assert code == "embedder_unavailable"
    assert due_at > datetime.now(UTC) + timedelta(seconds=60)
    assert rows(dsn, "SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at > now()")[0][0] >= 1


def test_what_a_lost_worker_held_is_given_to_another(dsn: str) -> None:
    """It waits again; the lost worker, should it come back, settles nothing."""
    hand_in(dsn, submission())
    lost = uuid4()
    with open_line(dsn, ACME) as line:
        [revision] = line.claim(7, lost, MUCH)
        assert line.claim(8, uuid4(), MUCH) == []
        assert line.release(7, blamed=True) == 1
        shop = workshop(dsn)
        turn(shop, turn_id=9)
        ending = Settlement(revision_id=revision.revision_id, state="failed", error_code="late", error_message="late")
        assert line.settle(lost, [ending], lambda _uris: None) == []
    assert states(dsn) == {"pump.txt": "indexed"}


def test_a_document_that_ends_its_workers_is_given_up(dsn: str) -> None:
    """After three lost workers a document fails, and the one behind it, lost with it at first, is indexed."""
    job = hand_in(dsn, submission("a.txt"), submission("b.txt", "Leave is 25 days.")).job_id
    with open_line(dsn, ACME) as line:
        assert len(line.claim(1, uuid4(), MUCH)) == 2
        line.release(1, blamed=True)
        for turn_id in (2, 3):
            assert [revision.uri for revision in line.claim(turn_id, uuid4(), MUCH)] == ["a.txt"]
            line.release(turn_id, blamed=True)
    shop = workshop(dsn)
    turn(shop, turn_id=4)
    assert counts(dsn, job) == {"indexed": 1, "failed": 1}
    assert rows(dsn, "SELECT error_code FROM revisions WHERE uri = 'a.txt'") == [("worker_lost",)]


def test_permissions_are_taken_away_before_the_text_is_read(dsn: str) -> None:
    """A document whose new state cannot be read is seen by nobody who may not see that state."""
    shop = workshop(dsn)
    hand_in(dsn, submission(acl=frozenset({"group:eng", "group:hr"})))
    turn(shop)
    hand_in(dsn, submission(text="", acl=frozenset({"group:hr", "group:sales"})))
    turn(shop)
    assert rows(dsn, "SELECT acl, content FROM documents") == [(["group:hr"], PUMP)]
    counted_right(dsn)


def test_a_key_stands_for_one_request(dsn: str) -> None:
    """The same documents with the same key are the same job; others are refused."""
    first = hand_in(dsn, submission(), key="k")
    assert hand_in(dsn, submission(), key="k") == replace(first, repeated=True)
    with pytest.raises(IdempotencyKeyReused):
        hand_in(dsn, submission(text="other"), key="k")
    assert rows(dsn, "SELECT count(*) FROM revisions") == [(1,)]


def test_one_turn_waits_however_much_is_handed_in(dsn: str) -> None:
    """The line of tenants is as long as there are tenants with work."""
    for number in range(5):
        hand_in(dsn, submission(f"{number}.txt"))
    assert waiting_turns(dsn) == ["acme"]


def test_a_line_too_long_for_one_turn_goes_on(dsn: str) -> None:
    """More documents than are claimed together leave another turn waiting, and all are indexed."""
    hand_in(dsn, *(submission(f"{number}.txt", f"Rule {number} of many.") for number in range(150)))
    shop = workshop(dsn)
    for at in range(3):
        turn(replace(shop, worker=shop.worker.model_copy(update={"turn_seconds": 0.001})), turn_id=at)
    assert set(states(dsn).values()) == {"indexed"}
    counted_right(dsn)
