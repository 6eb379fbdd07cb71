"""What a tenant may have waiting has an end, which nobody else feels."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.queueing.line import open_line
from ingest.queueing.quota import Quota
from ingest.store import add_tenant
from retrieval.access import tenant_id
from retrieval.errors import QueueFull
from tests.handing_in import Desk, open_desk, work
from tests.queues import ACME, hand_in, rows, states, submission, turn, workshop

FEW = Quota(documents=5, bytes=100)
WAITING = "SELECT count(*), sum(bytes) FROM revisions WHERE state IN ('queued', 'running')"


def ask(dsn: str, *documents: tuple[str, int], tenant: str = "acme", key: str | None = None) -> bool:
    """Whether documents of these names and sizes are taken on."""
    with open_line(dsn, tenant_id(tenant)) as line:
        try:
            line.submit("tests", [submission(uri, "x" * size) for uri, size in documents], key, FEW)
        except QueueFull:
            return False
    return True


@pytest.fixture
def line(dsn: str) -> str:
    """A database with a tenant that has nothing waiting."""
    add_tenant(dsn, ACME)
    return dsn


def test_what_exceeds_the_documents_is_refused_whole(line: str) -> None:
    """Of a batch that does not fit, nothing is stored: no job, no document, no bytes."""
    assert ask(line, *((f"{number}", 1) for number in range(4)))
    assert not ask(line, ("a", 1), ("b", 1))
    assert rows(line, "SELECT (SELECT count(*) FROM jobs), count(*) FROM uploads") == [(1, 4)]
    assert ask(line, ("a", 1))
    assert not ask(line, ("b", 1))


def test_what_exceeds_the_bytes_is_refused(line: str) -> None:
    """The bytes have an end of their own."""
    assert ask(line, ("a", 60))
    assert not ask(line, ("b", 41))
    assert ask(line, ("b", 40))


def test_what_was_indexed_makes_room(line: str) -> None:
    """Settled documents are not counted."""
    assert ask(line, *((f"{number}", 20) for number in range(5)))
    turn(workshop(line))
    assert ask(line, *((f"{number}", 20) for number in range(5)))


def test_at_the_end_of_the_line_what_waits_can_be_replaced(line: str) -> None:
    """By what takes no more, also where more waits than may; not by what takes more."""
    hand_in(line, *(submission(f"{number}", "x" * 20) for number in range(6)))
    assert ask(line, ("0", 20), ("1", 1))
    assert not ask(line, ("0", 21))
    assert not ask(line, ("0", 1), ("new", 1))
    assert rows(line, WAITING) == [(6, 101)]


def test_a_refused_replacement_leaves_what_waited(line: str) -> None:
    """It is not superseded by what was not taken on."""
    assert ask(line, ("a", 60))
    assert not ask(line, ("a", 101))
    assert (states(line), rows(line, WAITING)) == ({"a": "queued"}, [(1, 60)])


def test_a_repeated_request_is_the_job_of_then(line: str) -> None:
    """Its key was taken on already: nothing is added, so nothing is refused."""
    documents = [(f"{number}", 1) for number in range(5)]
    assert ask(line, *documents, key="once")
    assert ask(line, *documents, key="once")
    assert not ask(line, ("more", 1), key="twice")


def test_twenty_at_once_do_not_exceed_it(line: str) -> None:
    """Exactly as many are taken on as there is room for."""
    with ThreadPoolExecutor(20) as threads:
        taken = list(threads.map(lambda number: ask(line, (f"{number}", 1)), range(20)))
    assert (sum(taken), rows(line, WAITING)) == (5, [(5, 5)])


def test_another_tenant_has_a_line_of_its_own(line: str) -> None:
    """A full line of one is not felt by another."""
    add_tenant(line, tenant_id("beta"))
    assert ask(line, *((f"{number}", 20) for number in range(5)))
    assert ask(line, ("a", 100), tenant="beta")


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    async with open_desk(dsn, worker={"max_waiting": 2}) as opened:
        yield opened


async def test_over_http_it_is_a_429_that_says_when_to_come_back(desk: Desk) -> None:
    """`queue_full` with `Retry-After`, for one document and for many; taken on again once there is room."""
    await desk.put("a")
    batch = {"documents": [{"uri": uri, "text": "x", "allow": ["everyone"]} for uri in ("b", "c")]}
    refused = await desk.manager.post("/v1/documents/batch", json=batch)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert int(refused.headers["Retry-After"]) > 0
    await desk.put("b")
    one = await desk.manager.put("/v1/documents", json={"uri": "c", "text": "x", "allow": ["everyone"]})
    assert (one.status_code, one.json()["error"]["code"]) == (429, "queue_full")
    await desk.put("a", "another text")
    await asyncio.to_thread(work, desk)
    await desk.put("c")
