"""The shelf by itself: what is written twice, by another tenant, or of an answer that is gone."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import psycopg
import pytest

from retrieval.access import caller, tenant_id
from retrieval.database.store import open_store
from retrieval.errors import AnswerInterrupted, AnswerWithdrawn, IdempotencyKeyReused, NotFound
from retrieval.keeping.identity import Owner
from retrieval.keeping.shelf import Batch, Shelf, State, WireEvent
from retrieval.settings import KeepingSettings
from tests.conftest import new_database, on_database

ACME, GLOBEX = tenant_id("acme"), tenant_id("globex")
ADA = Owner(key_id="0" * 12, caller=caller("acme", ["user:ada", "group:eng"]))
EVENTS = tuple(WireEvent(number=number, name="text", data=f'{{"text":"ü\\u0000 {number}"}}') for number in range(1, 6))


@pytest.fixture(scope="module")
def kept_dsn(server: str) -> Iterator[str]:
    for created in new_database(server):
        with psycopg.connect(created) as connection:
            connection.execute("INSERT INTO tenants (tenant_id) VALUES ('acme'), ('globex')")
        yield created


@pytest.fixture
async def shelf(kept_dsn: str) -> AsyncIterator[Shelf]:
    settings = on_database(kept_dsn).database
    async with open_store(kept_dsn, settings) as store:
        yield Shelf(store, KeepingSettings())


async def _claimed(shelf: Shelf, request: pytest.FixtureRequest, owner: Owner = ADA) -> UUID:
    claim = await shelf.claim(owner, request.node.name, b"question")
    assert claim.mine
    return claim.answer_id


def _batch(answer_id: UUID, *events: WireEvent, state: State = "running") -> Batch:
    return Batch(answer_id=answer_id, state=state, events=events, sources=frozenset())


async def test_a_batch_that_is_written_again_is_read_once(shelf: Shelf, request: pytest.FixtureRequest) -> None:
    """When nobody knows whether a writing arrived, it is repeated, with what was said since."""
    answer_id = await _claimed(shelf, request)
    await shelf.write(ACME, [_batch(answer_id, *EVENTS[:2])])
    await shelf.write(ACME, [_batch(answer_id, *EVENTS[:2])])
    await shelf.write(ACME, [_batch(answer_id, *EVENTS, state="finished")])
    for after in range(6):
        kept = await shelf.read(ADA, answer_id, after)
        assert kept.events == EVENTS[after:]
        assert not kept.running


async def test_what_has_ended_takes_no_more(shelf: Shelf, request: pytest.FixtureRequest) -> None:
    """A writer that comes late, because it was taken for dead, is told that its answer is not kept any more."""
    answer_id = await _claimed(shelf, request)
    assert await shelf.write(ACME, [_batch(answer_id, *EVENTS[:2], state="failed")]) == {answer_id: False}
    assert await shelf.write(ACME, [_batch(answer_id, *EVENTS[2:])]) == {}
    assert (await shelf.read(ADA, answer_id, 0)).events == EVENTS[:2]


async def test_another_tenants_answer_can_be_neither_written_nor_freed(
    shelf: Shelf, request: pytest.FixtureRequest
) -> None:
    """Not even by who knows its id."""
    answer_id = await _claimed(shelf, request)
    assert await shelf.write(GLOBEX, [_batch(answer_id, *EVENTS)]) == {}
    await shelf.release(GLOBEX, answer_id)
    await shelf.follow(Owner(key_id=ADA.key_id, caller=caller("globex", ["user:ada", "group:eng"])), answer_id, 60)
    assert await shelf.write(ACME, [_batch(answer_id, EVENTS[0])]) == {answer_id: False}
    assert (await shelf.read(ADA, answer_id, 0)).events == EVENTS[:1]


@pytest.mark.parametrize(
    "other",
    [
        Owner(key_id="1" * 12, caller=ADA.caller),
        Owner(key_id=ADA.key_id, caller=caller("acme", ["user:ada"])),
        Owner(key_id=ADA.key_id, caller=caller("acme", ["user:ada", "group:eng", "group:hr"])),
        Owner(key_id=ADA.key_id, caller=caller("globex", ["user:ada", "group:eng"])),
    ],
    ids=["other key", "fewer principals", "more principals", "other tenant"],
)
async def test_an_answer_is_its_owners(shelf: Shelf, request: pytest.FixtureRequest, other: Owner) -> None:
    """Nobody else reads it, has its slot, or learns that there is one."""
    answer_id = await _claimed(shelf, request)
    with pytest.raises(NotFound):
        await shelf.read(other, answer_id, 0)
    assert (await shelf.claim(other, request.node.name, b"another question")).mine


async def test_a_key_is_held_until_its_lease_is_over(
    shelf: Shelf, request: pytest.FixtureRequest, kept_dsn: str
) -> None:
    """Then its reader is told, and the next to ask has it."""
    answer_id = await _claimed(shelf, request)
    assert not (await shelf.claim(ADA, request.node.name, b"question")).mine
    with pytest.raises(IdempotencyKeyReused):
        await shelf.claim(ADA, request.node.name, b"another question")
    with psycopg.connect(kept_dsn) as connection:
        connection.execute("UPDATE kept_answers SET lease_until = now() WHERE answer_id = %s", [answer_id])
    with pytest.raises(AnswerInterrupted):
        await shelf.read(ADA, answer_id, 0)
    again = await shelf.claim(ADA, request.node.name, b"another question")
    assert again.mine
    assert again.answer_id != answer_id
    assert await shelf.write(ACME, [_batch(answer_id, *EVENTS)]) == {}


async def test_what_shows_a_document_that_is_gone_is_not_put_down(
    shelf: Shelf, request: pytest.FixtureRequest, kept_dsn: str
) -> None:
    """Between finding and putting down, the document went: the answer is withdrawn, and no word of it is kept."""
    answer_id = await _claimed(shelf, request)
    gone = Batch(answer_id=answer_id, state="running", events=EVENTS, sources=frozenset({(UUID(int=7), 1)}))
    assert await shelf.write(ACME, [gone]) == {}
    assert await shelf.withdrawn(ACME, [answer_id]) == {answer_id}
    with psycopg.connect(kept_dsn) as connection:
        for table in ("kept_events", "kept_sources"):
            query = f"SELECT count(*) FROM {table} WHERE answer_id = %s"  # noqa: S608 - a name of ours
            assert connection.execute(query.encode(), [answer_id]).fetchone() == (0,)
    with pytest.raises(AnswerWithdrawn):
        await shelf.read(ADA, answer_id, 0)
