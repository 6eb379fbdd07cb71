"""Documents by their address: a worker fetches them, and what it meets there decides what becomes of them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ingest.queueing.fetching import MOST_ATTEMPTS, pause
from ingest.queueing.line import open_line
from ingest.queueing.records import Settlement
from retrieval.settings import OutboundSettings
from tests.hostile_web import Answer, Web, answer, forever, raw, web
from tests.queues import ACME, PUMP, hand_in, rows, states, submission, texts, turn, workshop

PLAIN = answer(200, PUMP.encode(), content_type="text/plain")

MUCH = 1_000_000


def hand_in_address(dsn: str, url: str) -> None:
    hand_in(dsn, submission("pump", text="", file_name="", url=url))


async def fetch_due(dsn: str, server: Web, outbound: OutboundSettings | None = None, **ingest: Any) -> None:
    """A worker takes its turn."""
    shop = workshop(dsn)
    shop = replace(
        shop, outbound=outbound or server.settings(), ingest=shop.ingest.model_copy(update={"index_from": 0, **ingest})
    )
    await asyncio.to_thread(turn, shop)


def ending(dsn: str) -> tuple[str, str | None]:
    [(state, code)] = rows(dsn, "SELECT state, error_code FROM revisions")
    return state, code


@pytest.mark.parametrize(
    ("path", "said", "content_type"),
    [
        ("/pump", PLAIN, "text/plain"),
        ("/pump", answer(200, b"<p>" + PUMP.encode(), content_type="text/html; charset=utf-8"), "text/html"),
        ("/pump.txt", answer(200, b"<p>" + PUMP.encode(), content_type="text/html"), "text/html"),
        ("/pump.md", answer(200, PUMP.encode(), content_type="application/octet-stream"), "text/markdown"),
        ("/", PLAIN, "text/plain"),
        ("/..", PLAIN, "text/plain"),
        ("/a%2f%2e%2e", PLAIN, "text/plain"),
        ("/a%00b.txt", PLAIN, "text/plain"),
        ("/" + "%F0%9F%92%A7" * 150, PLAIN, "text/plain"),
    ],
)
async def test_its_type_says_how_to_read_it(dsn: str, path: str, said: Answer, content_type: str) -> None:
    """Whatever the address is called; where the type says nothing, the address does."""
    async with web(said) as server:
        hand_in_address(dsn, server.url(path))
        await fetch_due(dsn, server)
    assert ending(dsn) == ("indexed", None)
    assert rows(dsn, "SELECT content_type FROM documents") == [(content_type,)]
    assert PUMP in texts(dsn)["pump"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(404), "url_status"),
        (answer(401, PUMP.encode(), content_type="text/plain"), "url_status"),
        (answer(200, b"what is this", content_type="application/x-unknown"), "unsupported_format"),
        (answer(200, b"x" * 2000, content_type="text/plain"), "fetch_too_large"),
        (forever(b"x" * 1000), "fetch_too_large"),
        (answer(302, location="http://169.254.169.254/latest"), "url_refused"),
        (answer(200, b"", content_type="text/plain"), "empty"),
    ],
    ids=["gone", "not for us", "unknown", "large", "endless", "led inside", "empty"],
)
async def test_what_time_does_not_mend_fails_at_once(dsn: str, said: Answer, code: str) -> None:
    """With a code that says why, and nothing is stored."""
    async with web(said) as server:
        hand_in_address(dsn, server.url("/pump"))
        await fetch_due(dsn, server, max_file_bytes=1000)
        assert len(server.heard) == 1
    assert (ending(dsn), texts(dsn)) == (("failed", code), {})


async def test_an_inner_address_is_not_called(dsn: str) -> None:
    """Also by a worker, whose look-up is the one that counts."""
    async with web(PLAIN) as server:
        hand_in_address(dsn, server.url("/pump"))
        await fetch_due(dsn, server, OutboundSettings(ports=str(server.port)))
        assert server.heard == []
    assert ending(dsn) == ("failed", "url_refused")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (answer(503, retry_after="3600"), 3600),
        (answer(429, retry_after="3600"), 3600),
        (answer(503, retry_after="1e300"), 3600),
        (answer(500), 5),
        (raw(b"HTTP/1.1 200"), 5),
    ],
    ids=["busy", "too many", "never", "broken", "cut"],
)
async def test_who_does_not_answer_now_is_asked_again(dsn: str, said: Answer, seconds: int) -> None:
    """Not before it wants to be, and nothing has failed by then."""
    async with web(said, PLAIN) as server:
        hand_in_address(dsn, server.url("/pump"))
        began = datetime.now(UTC)
        await fetch_due(dsn, server)
        assert ending(dsn) == ("queued", "url_unreachable")
        await fetch_due(dsn, server)
        assert len(server.heard) == 1
        [(due,)] = rows(dsn, "SELECT due_at FROM revisions")
        [(woken,)] = rows(dsn, "SELECT max(scheduled_at) FROM procrastinate_jobs")
        assert due >= began + timedelta(seconds=seconds)
        assert abs(woken - due) < timedelta(seconds=2)
        rows(dsn, "UPDATE revisions SET due_at = submitted_at RETURNING 1")
        await fetch_due(dsn, server)
    assert (ending(dsn), texts(dsn)) == (("indexed", None), {"pump": PUMP})


async def test_who_never_answers_is_given_up(dsn: str) -> None:
    """After so many attempts; what was stored of it stays."""
    async with web(PLAIN, answer(503)) as server:
        hand_in_address(dsn, server.url("/pump"))
        await fetch_due(dsn, server)
        hand_in_address(dsn, server.url("/pump"))
        for _ in range(MOST_ATTEMPTS):
            rows(dsn, "UPDATE revisions SET due_at = submitted_at WHERE state = 'queued' RETURNING 1")
            await fetch_due(dsn, server)
    assert (states(dsn), texts(dsn)) == ({"pump": "failed"}, {"pump": PUMP})


@pytest.mark.parametrize("asked_for", [1e300, 1e12, None, 0.0])
def test_a_server_may_not_put_itself_off_for_ever(asked_for: float | None) -> None:
    """A day at most, whatever it asks for."""
    assert all(0 < pause(attempts, asked_for) <= 24 * 3600 for attempts in range(1, MOST_ATTEMPTS + 1))


def test_while_others_fetch_what_has_to_be_fetched_waits_alone(dsn: str) -> None:
    """A worker keeps a turn free of fetching: however many tenants hand in addresses that do not answer."""
    shop = workshop(dsn)
    hand_in(dsn, submission("slow", text="", file_name="", url="http://slow.example/"), submission("a.txt"))
    with shop.fetches:
        turn(shop)
        assert states(dsn) == {"slow": "queued", "a.txt": "indexed"}
        turn(shop)
    assert rows(dsn, "SELECT attempts FROM revisions WHERE uri = 'slow'") == [(0,)]
    assert rows(dsn, "SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at IS NOT NULL") == [(1,)]
    turn(shop)
    assert rows(dsn, "SELECT attempts FROM revisions WHERE uri = 'slow'") == [(1,)]


def test_a_slow_server_holds_one_worker_and_nothing_else_of_the_line(dsn: str) -> None:
    """What has to be fetched is taken alone, the next when it is settled: however many addresses do not answer, other
    documents and other tenants find a worker."""
    url = "http://slow.example/"
    slow = (submission(f"slow-{at}", text="", file_name="", url=url) for at in range(3))
    hand_in(dsn, next(slow), submission("a.txt"), next(slow), submission("b.txt"), next(slow))
    with open_line(dsn, ACME) as line:
        [fetching] = line.claim(1, uuid4(), MUCH)
        assert {one.uri for one in line.claim(2, uuid4(), MUCH)} == {"a.txt", "b.txt"}
        assert line.claim(2, uuid4(), MUCH) == []
        assert not line.waiting().due
        line.settle(fetching.claim_id, [Settlement(revision_id=fetching.revision_id, state="failed")], lambda _: None)
        assert line.waiting().due
        assert [one.uri for one in line.claim(1, uuid4(), MUCH)] == ["slow-1"]
