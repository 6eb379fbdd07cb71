"""Managing webhooks by HTTP and by command."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from api.app import create_app
from ingest.webhooks.delivering import Post, deliver_due
from ingest.webhooks.signing import Seal
from pincite import app
from retrieval.access import TenantId
from retrieval.engine import Engine, open_engine
from retrieval.errors import InputError, NotFound, UrlRefused
from retrieval.keys import create_key
from retrieval.upstream.outbound import open_outbound
from tests.conftest import new_database, on_database
from tests.e2e.standing import client_of
from tests.fakes import OverlapReranker, WordEmbedder
from tests.hostile_web import Web, answer, web

ACME = TenantId("acme")


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    yield from new_database(server)


@dataclass(frozen=True, slots=True, kw_only=True)
class Managing:
    """A client for each key, the engine they ask, and a receiver."""

    engine: Engine
    client: httpx2.AsyncClient
    receiver: Web
    admin: dict[str, str]
    plain: dict[str, str]
    other: dict[str, str]

    async def deliver(self) -> None:
        settings = self.engine.settings
        async with open_outbound(settings.outbound) as outbound:
            post = Post(store=self.engine.store, outbound=outbound, seal=Seal(None), settings=settings.webhooks)
            await deliver_due(post, ACME)

    async def add(self, **body: Any) -> dict[str, Any]:
        made = await self.client.post("/v1/webhooks", json={"url": self.receiver.url()} | body, headers=self.admin)
        assert made.status_code == 201, made.text
        added: dict[str, Any] = made.json()
        return added


@pytest.fixture
async def at(database: str) -> AsyncIterator[Managing]:
    with psycopg.connect(database) as connection:
        connection.execute("TRUNCATE tenants, api_keys CASCADE")
    keys = {
        name: {"Authorization": f"Bearer {create_key(database, TenantId(tenant), name, scopes, ())}"}
        for name, tenant, scopes in (
            ("admin", "acme", {"query", "admin"}),
            ("plain", "acme", {"query", "act_as", "explain"}),
            ("other", "beta", {"query", "admin"}),
        )
    }
    async with web(answer(200)) as receiver:
        settings = replace(on_database(database), outbound=receiver.settings())
        async with (
            open_engine(settings, embedder=WordEmbedder(), reranker=OverlapReranker()) as engine,
            client_of(create_app(settings, engine)) as client,
        ):
            yield Managing(engine=engine, client=client, receiver=receiver, **keys)


async def test_a_webhook_lives_through_http(at: Managing) -> None:
    """Made, listed, tried, rotated, its deliveries read and replayed, removed."""
    added = await at.add(events=["job.finished"])
    place = f"/v1/webhooks/{added['webhook_id']}"
    [listed] = (await at.client.get("/v1/webhooks", headers=at.admin)).json()["webhooks"]
    assert (listed["url"], listed["events"], listed["enabled"]) == (at.receiver.url(), ["job.finished"], True)
    rotated = (await at.client.post(f"{place}/rotate", headers=at.admin)).json()
    assert rotated["secret"] != added["secret"]
    sent = await at.client.post(f"{place}/test", headers=at.admin)
    assert sent.status_code == 202
    await at.deliver()
    for secret in (added["secret"], rotated["secret"]):
        Webhook(secret).verify(at.receiver.heard[0].body, dict(at.receiver.heard[0].headers))
    page = (await at.client.get(f"{place}/deliveries?state=delivered&limit=1", headers=at.admin)).json()
    [delivery] = page["deliveries"]
    assert (delivery["message_id"], delivery["outcome"]) == (sent.json()["message_id"], "http_200")
    last = (await at.client.get(f"{place}/deliveries?after={page['next']}", headers=at.admin)).json()
    assert last == {"deliveries": [], "next": None}
    replayed = await at.client.post(f"{place}/replay", json={"message_id": delivery["message_id"]}, headers=at.admin)
    assert (replayed.status_code, replayed.json()) == (202, {"replayed": 1})
    await at.deliver()
    assert [heard.headers["webhook-id"] for heard in at.receiver.heard] == [delivery["message_id"]] * 2
    since = await at.client.post(f"{place}/replay", json={"since": "2026-01-01T00:00:00Z"}, headers=at.admin)
    assert since.json() == {"replayed": 0}  # it does not want tests
    assert (await at.client.post(f"{place}/enable", headers=at.admin)).status_code == 204
    assert (await at.client.delete(place, headers=at.admin)).status_code == 204
    assert (await at.client.delete(place, headers=at.admin)).status_code == 404


ROUTES = [
    ("POST", "/v1/webhooks", {"url": "http://127.0.0.1/"}),
    ("GET", "/v1/webhooks", None),
    ("DELETE", "/v1/webhooks/{id}", None),
    ("POST", "/v1/webhooks/{id}/rotate", None),
    ("POST", "/v1/webhooks/{id}/enable", None),
    ("POST", "/v1/webhooks/{id}/test", None),
    ("GET", "/v1/webhooks/{id}/deliveries", None),
    ("POST", "/v1/webhooks/{id}/replay", {"since": "2026-01-01T00:00:00Z"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_only_an_admin_key_manages(at: Managing, method: str, path: str, body: dict[str, str] | None) -> None:
    """Every other scope together is not enough, and a key is asked for."""
    place = path.format(id=(await at.add())["webhook_id"])
    refused = await at.client.request(method, place, json=body, headers=at.plain)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "access_denied")
    assert (await at.client.request(method, place, json=body)).status_code == 401


async def test_a_tenant_does_not_reach_anothers(at: Managing) -> None:
    """Not by its id either; nothing tells that it is there."""
    added = await at.add()
    await at.client.post(f"/v1/webhooks/{added['webhook_id']}/test", headers=at.admin)
    for webhook_id in (added["webhook_id"], uuid4()):
        place = f"/v1/webhooks/{webhook_id}"
        answers = [
            await at.client.delete(place, headers=at.other),
            *[await at.client.post(f"{place}/{verb}", headers=at.other) for verb in ("rotate", "enable", "test")],
        ]
        since = {"since": "2020-01-01T00:00:00Z"}
        answers.append(await at.client.post(f"{place}/replay", json=since, headers=at.other))
        answers.append(await at.client.get(f"{place}/deliveries", headers=at.other))
        assert [each.status_code for each in answers] == [404] * 6
    assert (await at.client.get("/v1/webhooks", headers=at.other)).json() == {"webhooks": []}
    assert len((await at.client.get("/v1/webhooks", headers=at.admin)).json()["webhooks"]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "http://10.0.0.1/"}, "url_refused"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "url_refused"),
        ({"url": "file:///etc/passwd"}, "url_refused"),
        ({"url": "http://user:password@127.0.0.1/"}, "url_refused"),
        ({"url": "http://nowhere.invalid/"}, "url_refused"),
        ({"url": "\0"}, "url_refused"),
        ({"url": ""}, "invalid_request"),
        ({"url": "x" * 3000}, "invalid_request"),
        ({"url": "http://127.0.0.1/", "events": []}, "invalid_request"),
        ({"url": "http://127.0.0.1/", "events": ["document.read"]}, "invalid_request"),
        ({"url": "http://127.0.0.1/", "secret": "mine"}, "invalid_request"),
    ],
)
async def test_what_is_wrong_is_refused(at: Managing, body: dict[str, Any], code: str) -> None:
    """As the caller's mistake, before anything is stored."""
    refused = await at.client.post("/v1/webhooks", json=body, headers=at.admin)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, code)
    assert (await at.client.get("/v1/webhooks", headers=at.admin)).json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"message_id": "msg_0", "since": "2026-01-01T00:00:00Z"}, 422),
        ({"since": "2026-01-01T00:00:00"}, 422),
        ({"message_id": "nonsense"}, 404),
        ({"message_id": "msg_954bc9cc017a49c0a09b0beab07211be"}, 404),
    ],
)
async def test_a_replay_names_what(at: Managing, body: dict[str, Any], status: int) -> None:
    """One message that is kept, or a moment in a time zone."""
    place = f"/v1/webhooks/{(await at.add())['webhook_id']}/replay"
    assert (await at.client.post(place, json=body, headers=at.admin)).status_code == status


async def test_no_answer_but_the_first_holds_the_secret(at: Managing) -> None:
    """Neither lists nor errors."""
    added = await at.add()
    place = f"/v1/webhooks/{added['webhook_id']}"
    await at.client.post(f"{place}/test", headers=at.admin)
    answers = [
        await at.client.get("/v1/webhooks", headers=at.admin),
        await at.client.get(f"{place}/deliveries", headers=at.admin),
        await at.client.post(f"{place}/replay", json={}, headers=at.admin),
    ]
    assert [each for each in answers if added["secret"].removeprefix("whsec_") in each.text] == []


async def test_a_webhook_lives_through_commands(at: Managing, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same life, by `pincite webhooks`; what is refused is refused."""
    monkeypatch.setenv("PINCITE_DATABASE_URL", database)
    monkeypatch.setenv("PINCITE_OUTBOUND_ALLOW", at.engine.settings.outbound.allow)
    monkeypatch.setenv("PINCITE_OUTBOUND_PORTS", at.engine.settings.outbound.ports)

    async def run(*line: str) -> Result:
        with capture_logs():  # main() sends them to stderr
            return await asyncio.to_thread(CliRunner().invoke, app, ["webhooks", *line, "--tenant", "acme"])

    added = json.loads((await run("add", at.receiver.url(), "--event", "job.finished")).output)
    webhook, listed = added["webhook_id"], (await run("list")).output
    assert json.loads(listed)["endpoint_id"] == webhook
    assert added["secret"] not in listed
    delivered = json.loads((await run("test", webhook)).output)
    assert (delivered["state"], delivered["outcome"]) == ("delivered", "http_200")
    Webhook(added["secret"]).verify(at.receiver.heard[0].body, dict(at.receiver.heard[0].headers))
    assert json.loads((await run("deliveries", webhook)).output)["message_id"] == delivered["message_id"]
    assert (await run("replay", webhook, "--message", delivered["message_id"])).output == "1 on their way\n"
    assert (await run("replay", webhook, "--since", "2026-01-01")).output == "0 on their way\n"
    assert isinstance((await run("replay", webhook)).exception, InputError)
    assert json.loads((await run("rotate", webhook)).output)["secret"] != added["secret"]
    assert (await run("enable", webhook)).exit_code == (await run("remove", webhook)).exit_code == 0
    assert isinstance((await run("remove", webhook)).exception, NotFound)
    assert isinstance((await run("add", "http://10.0.0.1/")).exception, UrlRefused)


async def test_a_test_that_fails_says_so(at: Managing, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code of what went wrong, and exit code 1."""
    added = await at.add()
    monkeypatch.setenv("PINCITE_DATABASE_URL", database)
    with capture_logs():
        line = ["webhooks", "test", added["webhook_id"], "--tenant", "acme"]
        result = await asyncio.to_thread(CliRunner().invoke, app, line)
    assert (result.exit_code, json.loads(result.output)["outcome"]) == (1, "url_refused")
