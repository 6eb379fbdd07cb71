"""What is handed in at the same moment has one order, and what a turn leaves behind is taken by the next."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ingest.queueing.curating import Curator
from ingest.queueing.line import Line
from ingest.queueing.mishaps import resume, see_through
from ingest.store import document_id_of
from retrieval.models.protocols import Vectors
from tests.fakes import WordEmbedder
from tests.queues import ACME, PUMP, hand_in, rows, states, submission, texts, turn, waiting_turns, workshop

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('pincite:document:' || %s || %s, 0))"


def test_the_state_that_was_taken_on_last_is_the_later_one(dsn: str) -> None:
    """A state that waits for another one of its document is later than that one, also by its date."""
    hand_in(dsn, submission("other.txt"))
    document = str(document_id_of(ACME, "pump.txt"))
    waiting = threading.Thread(target=hand_in, args=(dsn, submission(text="second")))
    with psycopg.connect(dsn, autocommit=True) as connection, connection.transaction():
        connection.execute(LOCK, [ACME, document])
        waiting.start()
        while not rows(dsn, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert waiting.is_alive()
        Line(connection, ACME).submit("tests", [submission(text="first")])
    waiting.join()
    ordered = rows(dsn, "SELECT state FROM revisions WHERE uri = 'pump.txt' ORDER BY submitted_at")
    assert ordered == [("superseded",), ("queued",)]
    shop = workshop(dsn)
    turn(shop)
    assert texts(dsn)["pump.txt"] == "second"


def test_a_clock_that_was_wrong_holds_nothing_up(dsn: str) -> None:
    """After a state from the future the next one is later still, and can be taken at once."""
    hand_in(dsn, submission(text="first"))
    future = datetime.now(UTC) + timedelta(days=1)
    rows(dsn, "UPDATE revisions SET submitted_at = %s RETURNING 1", future)
    hand_in(dsn, submission(text="second"))
    assert states(dsn) == {"pump.txt": "queued"}
    assert rows(dsn, "SELECT submitted_at > %s FROM revisions WHERE state = 'queued'", future) == [(True,)]
    shop = workshop(dsn)
    turn(shop)
    assert texts(dsn) == {"pump.txt": "second"}


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/..", "../../a.txt", "é" * 300, "a." + "b" * 300])
def test_a_file_may_have_any_name(dsn: str, name: str) -> None:
    """It is read or refused, and it costs no worker and no other document anything."""
    hand_in(dsn, submission("odd", file_name=name), submission("good.txt"))
    shop = workshop(dsn)
    turn(shop)
    assert (states(dsn)["good.txt"], states(dsn)["odd"] in {"indexed", "failed"}) == ("indexed", True)
    assert rows(dsn, "SELECT sum(losses) FROM revisions") == [(0,)]


def test_what_a_turn_held_when_the_database_went_away_waits_again(dsn: str) -> None:
    """As soon as the database is back, in the line of the next turn, and no document is blamed."""
    name = str(conninfo_to_dict(dsn)["dbname"])
    elsewhere = make_conninfo(dsn, dbname="postgres")

    def let_in(connections: bool) -> None:
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            allowed = sql.SQL("true" if connections else "false")
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), allowed))
            if not connections:
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(cut, [name])

    back = threading.Timer(2.5, let_in, [True])

    class Cut(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            let_in(False)
            back.start()
            return super().embed_documents(texts)

    hand_in(dsn, submission())
    rows(dsn, "DELETE FROM procrastinate_jobs RETURNING 1")
    see_through(workshop(dsn, Cut()), ACME, 1)
    back.join()
    assert rows(dsn, "SELECT state, losses, turn_id FROM revisions") == [("queued", 0, None)]
    assert waiting_turns(dsn) == ["acme"]


def test_a_turn_that_was_lost_before_it_held_anything_is_followed_by_another(dsn: str) -> None:
    """A worker that is killed between its turn and its first claim leaves a line that nobody was told of."""
    hand_in(dsn, submission())
    rows(dsn, "DELETE FROM procrastinate_jobs RETURNING 1")
    assert resume(dsn, ACME, 1, blamed=True) == 0
    assert waiting_turns(dsn) == ["acme"]


def test_what_ends_a_turn_unforeseen_is_blamed_on_its_documents(dsn: str) -> None:
    """They wait again, and after three times the one is given up that it happens with."""

    class Broken(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            raise ZeroDivisionError(texts)

    hand_in(dsn, submission())
    shop = workshop(dsn, Broken())
    for number in range(4):
        with suppress(ZeroDivisionError):
            see_through(shop, ACME, number)
    assert rows(dsn, "SELECT state, error_code FROM revisions") == [("failed", "worker_lost")]
    assert texts(dsn) == {}


def test_submitting_and_deleting_never_wait_for_each_other(dsn: str) -> None:
    """Many that hand in and delete the same documents at once all come to an end, and so does every job."""
    hand_in(dsn, *(submission(f"{number}.txt") for number in range(8)))

    def disturb(number: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            curator = Curator(connection, ACME)
            for at in range(12):
                names = [f"{(number * 5 + at * 3 + step) % 8}.txt" for step in range(4)]
                if at % 3:
                    curator.submit("tests", [submission(name, f"{PUMP} {number} {at}") for name in set(names)])
                else:
                    curator.remove(*names)

    crowd = [threading.Thread(target=disturb, args=(number,)) for number in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    [(deadlocks,)] = rows(dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 0
    shop = workshop(dsn)
    turn(shop)
    assert not rows(dsn, "SELECT 1 FROM jobs WHERE finished_at IS NULL")
