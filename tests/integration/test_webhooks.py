"""Webhooks: told once for sure, signed, in spite of receivers and senders that fail."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from ingest.webhooks import delivering
from ingest.webhooks.deliveries import Delivery, list_deliveries, replay_message, replay_since, send_test, wire_id
from ingest.webhooks.delivering import Post, Round, deliver_due
from ingest.webhooks.endpoints import MOST_ENDPOINTS, Endpoints, NewSecret
from ingest.webhooks.events import EVENT_TYPES, Event, announce, announce_in
from ingest.webhooks.signing import Seal
from retrieval.access import TenantId, caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store, open_store, tenant_identity
from retrieval.errors import InputError, InvalidSettings, NotFound, UrlRefused
from retrieval.settings import OutboundSettings, Settings, WebhookSettings
from retrieval.upstream.outbound import open_outbound
from tests.conftest import new_database, on_database
from tests.hostile_web import Answer, Heard, Names, answer, forever, hang, web

ACME, BETA = TenantId("acme"), TenantId("beta")
INDEXED = "document.indexed"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def told_database(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
def told(told_database: str) -> str:
    """A database with two tenants and no webhooks."""
    with psycopg.connect(told_database) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('acme'), ('beta')")
    return told_database


@pytest.fixture
async def store(told: str) -> AsyncIterator[Store]:
    settings = on_database(told).database.model_copy(update={"database_timeout": 60.0})
    async with open_store(told, settings) as opened:
        yield opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Everything a test sends with. Endpoints are registered by names, which mean this machine."""

    dsn: str
    store: Store
    endpoints: Endpoints
    post: Post

    async def add(self, url: str, *events: Any, tenant: TenantId = ACME) -> NewSecret:
        return await self.endpoints.add(tenant, url, events or EVENT_TYPES)

    async def tell(self, *events: Event, tenant: TenantId = ACME) -> None:
        async with self.store.session(caller(tenant, ())) as session:
            await announce_in(session, events)

    async def deliver(self, tenant: TenantId = ACME) -> Round:
        return await deliver_due(self.post, tenant)

    async def deliveries(self, endpoint: NewSecret, tenant: TenantId = ACME) -> list[Delivery]:
        return await list_deliveries(self.store, tenant, endpoint.endpoint_id, state=None, after=None, limit=100)

    def change(self, statement: str) -> None:
        """As if time had gone by."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode())

    def wait(self) -> None:
        """Until everything that is pending is due, rests and leases included."""
        self.change("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 s' WHERE state = 'pending'")
        self.change("UPDATE webhook_endpoints SET resting_until = now() - interval '1 s'")


@asynccontextmanager
async def office(
    dsn: str, store: Store, *ports: int, allow: str = "127.0.0.0/8", patience: float = 30.0, key: str | None = None
) -> AsyncIterator[Office]:
    settings = Settings(
        outbound=OutboundSettings(allow=allow, ports=",".join(map(str, ports))),
        webhooks=WebhookSettings(timeout=patience, key=SecretStr(key) if key else None),
    )
    async with open_outbound(settings.outbound) as outbound:
        post = Post(store=store, outbound=outbound, seal=Seal(settings.webhooks.key), settings=settings.webhooks)
        yield Office(dsn=dsn, store=store, endpoints=Endpoints(store, settings), post=post)


def event(number: int = 1, type_: Any = INDEXED) -> Event:
    return Event(type=type_, data={"document_id": str(UUID(int=number)), "version": 1})


def verified(heard: Heard, *secrets: str) -> dict[str, Any]:
    """The payload, as a receiver with each of these secrets reads it."""
    assert secrets
    payloads = [Webhook(secret).verify(heard.body, dict(heard.headers)) for secret in secrets]
    assert payloads == payloads[:1] * len(payloads)
    payload: dict[str, Any] = payloads[0]
    return payload


async def test_what_happened_is_told_signed_to_who_wants_it(told: str, store: Store) -> None:
    """A receiver verifies it by the secret it was given; type, time and data are in the body, the id in the header."""
    async with (
        web(answer(204)) as server,
        web(answer(200)) as other,
        office(told, store, server.port, other.port) as at,
    ):
        endpoint = await at.add(server.url("/hook"))
        elsewhere = await at.add(other.url(), "job.finished")
        said = event(7)
        await at.tell(said)
        result = await at.deliver()
    assert (result.delivered, result.failed, result.put_off, result.due_in) == (1, 0, 0, None)
    [heard] = server.heard
    payload = verified(heard, endpoint.secret)
    assert (heard.method, heard.target) == ("POST", "/hook")
    assert heard.headers["webhook-id"] == wire_id(said.event_id)
    assert heard.headers["content-type"] == "application/json"
    assert (payload["type"], payload["data"]) == (INDEXED, dict(said.data))
    assert payload["timestamp"].endswith("+00:00")
    with pytest.raises(WebhookVerificationError):
        verified(heard, elsewhere.secret)
    assert other.heard == []


async def test_nothing_is_told_of_what_was_rolled_back(told: str, store: Store) -> None:
    """An event is announced in the transaction in which it happens, by async and by blocking writers."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        await at.add(server.url())
        with psycopg.connect(told) as connection:
            for happened in (False, True):
                with connection.transaction(force_rollback=not happened):
                    for setting in tenant_identity(ACME, 60.0):
                        connection.execute(setting)

                    def run(statement: TenantStatement, **parameters: object) -> int:
                        return connection.execute(statement.query, parameters | {"tenant_id": ACME}).rowcount

                    announce(run, [event(1 if happened else 2)])
        await at.deliver()
    assert [json.loads(heard.body)["data"]["document_id"] for heard in server.heard] == [str(UUID(int=1))]


async def test_an_event_announced_twice_is_told_once(told: str, store: Store) -> None:
    """So that a job that is run again may announce again."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        await at.add(server.url())
        said = event()
        await at.tell(said, said)
        await at.deliver()
        await at.tell(said)
        await at.deliver()
    assert len(server.heard) == 1


async def test_without_endpoints_nothing_is_kept(told: str, store: Store) -> None:
    """Who uses no webhooks pays nothing for them."""
    async with office(told, store, 80) as at:
        await at.tell(event(), event(2))
        assert (await at.deliver()).due_in is None
    with psycopg.connect(told) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_messages").fetchone() == (0,)


async def test_a_failed_attempt_is_made_again_with_the_same_id_and_a_new_signature(told: str, store: Store) -> None:
    """After a wait; the time in the signature is that of the attempt, so that receivers do not take it for a replay."""
    answers = (answer(500), answer(302, location="/"), answer(404), answer(200))
    async with web(*answers) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        outcomes = list[str]()
        for _ in answers:
            result = await at.deliver()
            outcomes += [each.outcome for each in await at.deliveries(endpoint)]
            at.wait()
        [delivery] = await at.deliveries(endpoint)
    assert outcomes == ["http_500", "http_302", "http_404", "http_200"]
    assert (delivery.state, delivery.attempts, result.delivered) == ("delivered", 4, 1)
    assert len({heard.headers["webhook-id"] for heard in server.heard}) == 1
    assert len({heard.body for heard in server.heard}) == 1
    assert all(verified(heard, endpoint.secret) for heard in server.heard)


async def test_attempts_wait_ever_longer_and_end_after_a_day(told: str, store: Store) -> None:
    """Each waits in its step of the schedule; after the last it is given up, and can be replayed."""
    async with web(answer(503)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        waits = list[float]()
        for _ in range(len(delivering.STEPS) + 1):
            await at.deliver()
            with psycopg.connect(told) as connection:
                row = connection.execute(
                    "SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM webhook_deliveries"
                ).fetchone()
            waits.append(row[0] if row else 0.0)
            at.wait()
        [delivery] = await at.deliveries(endpoint)
    lower = (0.0, *delivering.STEPS)
    for wait, least, most in zip(waits, lower, delivering.STEPS, strict=False):
        assert least - 60 <= wait <= most
    assert (delivery.state, delivery.attempts) == ("failed", len(delivering.STEPS) + 1)
    assert len(server.heard) == len(delivering.STEPS) + 1
    assert sum(delivering.STEPS) / 3600 > 24


async def test_an_endpoint_that_asks_for_time_gets_it(told: str, store: Store) -> None:
    """Retry-After holds for the message and for every other one to that endpoint; for a day at most."""
    async with web(answer(429, retry_after="1800"), answer(200)) as server, office(told, store, server.port) as at:
        await at.add(server.url())
        await at.tell(event())
        first = await at.deliver()
        await at.tell(event(2))
        second = await at.deliver()
    assert len(server.heard) == 1
    for result in (first, second):
        assert result.due_in is not None
        assert 1700 < result.due_in <= 1800
    assert delivering._wish({"retry-after": "1e300"}) == delivering._wish({"retry-after": "999999"}) == 86_400


async def test_410_ends_it(told: str, store: Store) -> None:
    """An endpoint that says it is gone is told nothing any more, until it is enabled again."""
    async with web(answer(410), answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        assert (await at.deliver()).failed == 1
        await at.tell(event(2))
        assert (await at.deliver()).due_in is None
        [listed] = await at.endpoints.all(ACME)
        assert not listed.enabled
        with pytest.raises(NotFound):
            await replay_message(store, ACME, endpoint.endpoint_id, (await at.deliveries(endpoint))[0].message_id)
        await at.endpoints.enable(ACME, endpoint.endpoint_id)
        await at.tell(event(3))
        assert (await at.deliver()).delivered == 1
    assert len(server.heard) == 2


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (hang(), "url_unreachable"),
        (answer(200, content_length="x"), "url_unreachable"),
        (forever(b"x"), "http_200"),
        (answer(503, retry_after="Mon, 01 Jan 99999999999 00:00:00 GMT"), "http_503"),
    ],
)
async def test_a_hostile_receiver_costs_one_attempt(told: str, store: Store, said: Answer, outcome: str) -> None:
    """Silence ends at the time-out; nobody reads an answer's body, however long."""
    async with web(said) as server, office(told, store, server.port, patience=1.0) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        await at.deliver()
        assert [each.outcome for each in await at.deliveries(endpoint)] == [outcome]


async def test_a_dead_endpoint_does_not_hold_up_a_living_one(told: str, store: Store) -> None:
    """The other one gets everything meanwhile; it itself is tried with one message, and then only after a rest."""
    events = [event(number) for number in range(30)]
    all_told = asyncio.Event()

    async def listen(request: Heard, writer: asyncio.StreamWriter) -> None:
        if len(living.heard) == len(events):
            all_told.set()
        await answer(200)(request, writer)

    async def stay_silent(request: Heard, writer: asyncio.StreamWriter) -> None:
        await all_told.wait()
        await answer(500)(request, writer)

    async with (
        web(stay_silent) as dead,
        web(listen) as living,
        office(told, store, dead.port, living.port) as at,
    ):
        for server in (dead, living):
            await at.add(server.url())
        await at.tell(*events)
        first = await at.deliver()
        assert (first.delivered, first.put_off, len(living.heard)) == (30, 4, 30)
        at.change("UPDATE webhook_endpoints SET resting_until = now()")
        second = await at.deliver()
    assert (second.delivered, second.put_off, len(dead.heard)) == (0, 1, 5)


async def test_two_workers_share_the_work(told: str, store: Store) -> None:
    """Nothing is told twice when many deliver at once."""
    events = [event(number) for number in range(60)]
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        for number in range(3):
            await at.add(server.url(f"/{number}"))
        await at.tell(*events)
        results = await asyncio.gather(*(at.deliver() for _ in range(4)))
    assert sum(result.delivered for result in results) == len(server.heard) == 180
    assert len({(heard.target, heard.headers["webhook-id"]) for heard in server.heard}) == 180


async def test_one_worker_at_a_time_tries_an_endpoint_that_failed(told: str, store: Store) -> None:
    """However many there are."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def fail(request: Heard, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go_on.wait()
        await answer(500)(request, writer)

    async with web(fail) as server, office(told, store, server.port) as at:
        await at.add(server.url())
        at.change("UPDATE webhook_endpoints SET failures = 8")
        await at.tell(*(event(number) for number in range(10)))
        trying = asyncio.create_task(at.deliver())
        await arrived.wait()
        for _ in range(3):
            result = await at.deliver()
            assert (result.delivered, result.put_off) == (0, 0)
        go_on.set()
        assert (await trying).put_off == 1
    assert len(server.heard) == 1


KILLED = """
import asyncio, sys
from ingest.webhooks.delivering import Post, deliver_due
from ingest.webhooks.signing import Seal
from retrieval.access import TenantId
from retrieval.database.store import open_store
from retrieval.settings import OutboundSettings, WebhookSettings
from retrieval.upstream.outbound import open_outbound
from tests.conftest import on_database

async def main(dsn, port):
    settings = WebhookSettings(timeout=60)
    async with (
        open_store(dsn, on_database(dsn).database) as store,
        open_outbound(OutboundSettings(allow="127.0.0.0/8", ports=port)) as outbound,
    ):
        await deliver_due(Post(store=store, outbound=outbound, seal=Seal(None), settings=settings), TenantId("acme"))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_worker_killed_after_it_told_leaves_it_to_be_told_again(told: str, store: Store) -> None:
    """Nothing is lost between the answer and its record: the receiver sees the same id again, after the lease."""
    killed = asyncio.Event()
    processes = list[subprocess.Popen[bytes]]()

    async def kill(request: Heard, writer: asyncio.StreamWriter) -> None:
        if not killed.is_set():
            processes[0].send_signal(signal.SIGKILL)
            await asyncio.to_thread(processes[0].wait)
            killed.set()
        else:
            await answer(200)(request, writer)

    async with web(kill) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        processes.append(subprocess.Popen([sys.executable, "-c", KILLED, told, str(server.port)]))  # noqa: ASYNC220
        try:
            async with asyncio.timeout(120):
                await killed.wait()
        finally:
            processes[0].kill()
        assert (await at.deliver()).delivered == 0  # the dead worker's lease still holds
        at.wait()
        assert (await at.deliver()).delivered == 1
        [delivery] = await at.deliveries(endpoint)
    assert (delivery.state, delivery.attempts) == ("delivered", 2)
    first, second = server.heard
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_a_late_answer_does_not_undo_a_replay(told: str, store: Store) -> None:
    """Who replays a message while it is under way has it told once more."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Heard, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go_on.wait()
        await answer(200)(request, writer)

    async with web(slow) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        said = event()
        await at.tell(said)
        under_way = asyncio.create_task(at.deliver())
        await arrived.wait()
        await replay_message(store, ACME, endpoint.endpoint_id, said.event_id)
        go_on.set()
        await under_way
        await at.deliver()
    assert len(server.heard) == 2


async def test_messages_are_replayed_by_id_and_since_a_time(told: str, store: Store) -> None:
    """With the ids they had; since a time only what the endpoint wants."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url(), INDEXED)
        await at.add(server.url("/all"))
        told_once = [event(1), event(2), event(3, "document.deleted")]
        await at.tell(*told_once)
        await at.deliver()
        del server.heard[:]
        await replay_message(store, ACME, endpoint.endpoint_id, told_once[0].event_id)
        await at.deliver()
        assert [heard.headers["webhook-id"] for heard in server.heard] == [wire_id(told_once[0].event_id)]
        del server.heard[:]
        since = (await at.deliveries(endpoint))[-1].created_at
        assert await replay_since(store, ACME, endpoint.endpoint_id, since) == 2
        await at.deliver()
        assert {heard.headers["webhook-id"] for heard in server.heard} == {wire_id(e.event_id) for e in told_once[:2]}
        for endpoint_id, message_id in ((endpoint.endpoint_id, uuid4()), (uuid4(), told_once[0].event_id)):
            with pytest.raises(NotFound):
                await replay_message(store, ACME, endpoint_id, message_id)


async def test_an_endpoint_can_be_tried_out(told: str, store: Store) -> None:
    """A test reaches that endpoint alone, whatever it wants to be told."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url("/tried"), INDEXED)
        await at.add(server.url("/other"))
        message_id = await send_test(store, ACME, endpoint.endpoint_id)
        await at.deliver()
        with pytest.raises(NotFound):
            await send_test(store, ACME, uuid4())
    [heard] = server.heard
    assert (heard.target, heard.headers["webhook-id"]) == ("/tried", wire_id(message_id))
    assert verified(heard, endpoint.secret)["type"] == "webhook.test"


async def test_for_a_day_after_a_rotation_both_secrets_verify(told: str, store: Store) -> None:
    """Then the old one is forgotten."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        fresh = await at.endpoints.rotate(ACME, endpoint.endpoint_id)
        await at.tell(event())
        await at.deliver()
        verified(server.heard[0], endpoint.secret, fresh.secret)
        at.change("UPDATE webhook_secrets SET valid_until = now() - interval '1 s' WHERE valid_until < 'infinity'")
        await at.tell(event(2))
        await at.deliver()
        verified(server.heard[1], fresh.secret)
        with pytest.raises(WebhookVerificationError):
            verified(server.heard[1], endpoint.secret)
        with psycopg.connect(told) as connection:
            assert connection.execute("SELECT count(*) FROM webhook_secrets").fetchone() == (1,)
        with pytest.raises(NotFound):
            await at.endpoints.rotate(ACME, uuid4())


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "ftp://hooks.example/"])
async def test_an_inner_url_is_not_registered(told: str, store: Store, url: str) -> None:
    """Neither written out nor behind a name."""
    async with office(told, store, 80, allow="") as at:
        with pytest.raises(UrlRefused):
            await at.add(url)
        assert await at.endpoints.all(ACME) == []


async def test_a_name_that_means_an_inner_address_by_then_is_not_told(told: str, store: Store) -> None:
    """It was public when it was registered; the attempt fails like any other."""
    names = Names(hooks_example=[["1.1.1.1"], ["127.0.0.1"]])
    async with web(answer(200)) as server:
        settings = Settings(outbound=server.settings(allow=""))
        async with open_outbound(settings.outbound, resolve=names) as outbound:
            endpoints = Endpoints(store, settings, names)
            post = Post(store=store, outbound=outbound, seal=Seal(None), settings=settings.webhooks)
            at = Office(dsn=told, store=store, endpoints=endpoints, post=post)
            endpoint = await at.add(server.url(host="hooks.example"))
            await at.tell(event())
            assert (await at.deliver()).put_off == 1
            assert [each.outcome for each in await at.deliveries(endpoint)] == ["url_refused"]
    assert server.heard == []


async def test_tenants_do_not_hear_of_each_other(told: str, store: Store) -> None:
    """Neither events nor endpoints nor deliveries; another's endpoint is no endpoint."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        ours = await at.add(server.url("/acme"))
        theirs = await at.add(server.url("/beta"), tenant=BETA)
        said = event()
        await at.tell(said)
        assert (await at.deliver(BETA)).delivered == 0
        assert (await at.deliver()).delivered == 1
        assert [heard.target for heard in server.heard] == ["/acme"]
        assert [each.endpoint_id for each in await at.endpoints.all(BETA)] == [theirs.endpoint_id]
        since = (await at.deliveries(ours))[0].created_at
        for attempt in (
            at.endpoints.remove(BETA, ours.endpoint_id),
            at.endpoints.rotate(BETA, ours.endpoint_id),
            at.endpoints.enable(BETA, ours.endpoint_id),
            replay_message(store, BETA, theirs.endpoint_id, said.event_id),
            replay_message(store, BETA, ours.endpoint_id, said.event_id),
            replay_since(store, BETA, ours.endpoint_id, since),
            at.deliveries(ours, BETA),
            send_test(store, BETA, ours.endpoint_id),
        ):
            with pytest.raises(NotFound):
                await attempt


async def test_an_endpoint_may_be_removed_while_it_is_put_down_that_it_failed(told: str, store: Store) -> None:
    """Whoever removes it and whoever delivers to it take it and its deliveries in one order: neither fails."""
    removing: list[asyncio.Task[None]] = []

    def wait_for(sessions: int) -> None:
        with psycopg.connect(told, autocommit=True) as looking:
            while len(looking.execute(WAITING).fetchall()) < sessions:
                assert not (removing and removing[0].done())

    async def removed_meanwhile(heard: Heard, writer: asyncio.StreamWriter) -> None:
        others.execute("SELECT FROM webhook_endpoints FOR NO KEY UPDATE")
        removing.append(asyncio.create_task(at.endpoints.remove(ACME, endpoint.endpoint_id)))
        await asyncio.to_thread(wait_for, 1)
        await answer(500)(heard, writer)

    with psycopg.connect(told) as others:
        async with web(removed_meanwhile) as server, office(told, store, server.port) as at:
            endpoint = await at.add(server.url())
            await at.tell(event())
            delivering_it = asyncio.create_task(at.deliver())
            await asyncio.to_thread(wait_for, 2)
            others.rollback()
            await removing[0]
            assert (await delivering_it).put_off == 1


async def test_removing_an_endpoint_ends_what_was_under_way(told: str, store: Store) -> None:
    """It is told nothing more, and its secrets are gone."""
    async with web(answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event())
        await at.endpoints.remove(ACME, endpoint.endpoint_id)
        assert (await at.deliver()).due_in is None
    assert server.heard == []
    with psycopg.connect(told) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_secrets").fetchone() == (0,)


async def test_what_is_wrong_is_refused(told: str, store: Store) -> None:
    """No events, unknown events, unknown tenants, too many endpoints."""
    async with office(told, store, 80) as at:
        wrong: list[tuple[TenantId, Any]] = [(ACME, ()), (ACME, ("document.read",)), (TenantId("no"), EVENT_TYPES)]
        for tenant, events in wrong:
            with pytest.raises(InputError):
                await at.endpoints.add(tenant, "http://127.0.0.1/", events)
        for _ in range(MOST_ENDPOINTS):
            await at.add("http://127.0.0.1/")
        with pytest.raises(InputError):
            await at.add("http://127.0.0.1/")


def test_an_event_holds_no_text() -> None:
    """What is longer than ids and codes is a defect of ours."""
    with pytest.raises(AssertionError):
        announce(lambda *_, **__: 0, [Event(type="job.finished", data={"text": "x" * 5000})])


async def test_secrets_are_shown_once(told: str, store: Store) -> None:
    """No list, log, error or repr holds one; sealed, not even the database does."""
    key = Fernet.generate_key().decode()
    with capture_logs() as logs:
        async with web(answer(500)) as server, office(told, store, server.port, key=key) as at:
            endpoint = await at.add(server.url())
            await at.tell(event())
            await at.deliver()
            shown = [repr(endpoint), repr(await at.endpoints.all(ACME)), repr(await at.deliveries(endpoint)), repr(at)]
            with psycopg.connect(told) as connection:
                stored = connection.execute("SELECT secret FROM webhook_secrets").fetchall()
            verified(server.heard[0], endpoint.secret)
    secret = endpoint.secret.removeprefix("whsec_")
    assert [text for text in (*shown, repr(logs), repr(stored)) if secret in text or key in text] == []
    assert logs


async def test_sealing_keys_are_rotated(told: str, store: Store) -> None:
    """The first key seals, every one opens; secrets from before there was a key still sign. A lost key: no claims."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    async with web(answer(200)) as server:
        secrets = list[str]()
        for number, key in enumerate((None, old, f"{new}, {old}")):
            async with office(told, store, server.port, key=key) as at:
                secrets.append((await at.add(server.url(f"/{number}"))).secret)
        await at.tell(event())
        async with office(told, store, server.port, key=new) as at:
            with pytest.raises(InvalidSettings) as lost:
                await at.deliver()
        async with office(told, store, server.port, key=f"{new},{old}") as at:
            assert (await at.deliver()).delivered == 3
    for heard in server.heard:
        verified(heard, secrets[int(heard.target[1:])])
    assert new not in str(lost.value)
    with pytest.raises(ValidationError) as mistyped:
        WebhookSettings(key=SecretStr("no-key"))
    assert "no-key" not in str(mistyped.value)


async def test_what_is_past_its_time_is_taken_away(told: str, store: Store) -> None:
    """Messages after a month, unless they are still on their way; those on their way are given up after three days."""
    async with web(answer(200), answer(500)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event(1))
        await at.deliver()
        await at.tell(event(2))
        await at.deliver()
        at.change("UPDATE webhook_messages SET created_at = created_at - interval '31 days'")
        await at.deliver()
        [pending] = await at.deliveries(endpoint)
        assert (pending.state, pending.outcome) == ("pending", "http_500")
        at.change("UPDATE webhook_deliveries SET due_since = now() - interval '4 days'")
        await at.deliver()
        assert await at.deliveries(endpoint) == []


async def test_deliveries_are_listed_in_pages(told: str, store: Store) -> None:
    """The newest first, each once, those of one transaction too; by state if asked."""
    async with web(answer(500), answer(200)) as server, office(told, store, server.port) as at:
        endpoint = await at.add(server.url())
        await at.tell(event(0))
        await at.deliver()
        await at.tell(*(event(number) for number in range(1, 8)))
        listed, after = list[Delivery](), None
        while page := await list_deliveries(store, ACME, endpoint.endpoint_id, state=None, after=after, limit=3):
            listed += page
            after = page[-1].message_id
        tried = await list_deliveries(store, ACME, endpoint.endpoint_id, state="delivered", after=None, limit=3)
    assert len({each.message_id for each in listed}) == len(listed) == 8
    assert [each.created_at for each in listed] == sorted((each.created_at for each in listed), reverse=True)
    assert tried == []
