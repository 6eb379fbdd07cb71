"""After a deletion no path returns the document: each is asked before, and tells, and after, and does not.

A new route or command has to say here by which path it is asked, or why it can tell nothing of a document.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
import typer.main

from api.app import create_app
from ingest.deleting.documents import delete_documents, delete_matching
from ingest.deleting.receipts import Deletion
from ingest.deleting.tenants import delete_tenant
from ingest.indexing import build_vector_index
from ingest.store import document_id_of
from pincite import app as commands
from retrieval.access import tenant_id
from retrieval.database.generations import Generation
from retrieval.filter_json import parse_filter
from retrieval.keys import create_key
from retrieval.settings import CacheSettings, Settings
from tests.conftest import new_database
from tests.fakes import WordEmbedder
from tests.kept_answers import Process, process
from tests.llm_servers.scripted import ScriptedLlm, answer, calling, hang_midway, scripted_llm
from tests.placing import emptied, made, place, source
from tests.queues import hand_in, submission

ACME = tenant_id("acme")
URI = "zephyr/quokka.md"
TEXT = "The quokka lantern is refilled with oil every Tuesday.\nIts wick is cut by the quokka keeper."
WORDS = 'It "is refilled with oil every Tuesday" [1].'
TELLS = "quokka"
LANTERN = {"question": "When is the lantern refilled with oil?"}
HANGS = hang_midway(f"{WORDS} And")
ID = document_id_of(ACME, URI)

Way = Literal["uri", "filter", "tenant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two processes over one database with the document in it, their LLM, and a key that may do everything."""

    dsn: str
    here: Process
    there: Process
    llm: ScriptedLlm
    key: str

    async def post(self, path: str, /, **body: Any) -> str:
        """What comes back."""
        headers = {"Authorization": f"Bearer {self.key}"} | body.pop("headers", {})
        return (await self.here.client.post(path, json=LANTERN | body, headers=headers)).text

    async def get(self, path: str, /, **headers: str) -> str:
        authorised = {"Authorization": f"Bearer {self.key}"} | headers
        return (await self.here.client.get(path, headers=authorised)).text

    def tune(self, **settings: Any) -> None:
        """Changes groups of the settings of the process that is asked."""
        engine = self.here.app.state.engine
        engine.settings = replace(engine.settings, **settings)


Asking = Callable[[World], Awaitable[str]]
Path = Callable[[World], AsyncIterator[str]]


def asked_twice(ask: Asking) -> Path:
    """A path that needs no preparation."""

    async def path(world: World) -> AsyncIterator[str]:
        yield await ask(world)
        yield await ask(world)

    return path


async def _by_words(world: World) -> str:
    world.here.app.state.engine.embedder.broken = True
    return await world.post("/v1/search")


async def _by_index(world: World) -> str:
    engine = world.here.app.state.engine
    world.tune(search=engine.settings.search.model_copy(update={"exact_below": 0, "shadow_rate": 1}))
    return await world.post("/v1/search")


async def _by_filter(world: World) -> str:
    return await world.post("/v1/search", filter={"field": "uri", "prefix": "zephyr/"})


async def _explained(world: World) -> str:
    return await world.post("/v1/search", explain=True, document=str(ID))


async def _known_field(world: World) -> str:
    """Only what it tells by accepting the field: what it refuses repeats the asker's own words."""
    body = LANTERN | {"filter": {"field": "metadata.lamp", "eq": 7}}
    headers = {"Authorization": f"Bearer {world.key}"}
    response = await world.here.client.post("/v1/search", json=body, headers=headers)
    return TELLS if response.status_code == 200 else response.text


async def _with_tool(world: World, name: str, arguments: dict[str, str]) -> str:
    # The tools alone: the question itself finds nothing.
    world.llm.scripts = [calling((name, json.dumps(arguments))), answer(WORDS)]
    world.llm.requests.clear()
    body = {"question": "xylophone", "tools": [name], "filter": {"field": "uri", "prefix": "zephyr/"}}
    told = await world.post("/v1/answers", **body)
    return told + json.dumps(
        [turn for sent in world.llm.requests for turn in sent["messages"] if turn["role"] == "tool"]
    )


async def _cached(world: World, again: str) -> AsyncIterator[str]:
    world.tune(cache=CacheSettings(similarity=0.9))
    await world.post("/v1/answers", stream=False)
    kept = json.loads(await world.post("/v1/answers", stream=False, question=again))
    assert kept["cache"] == ("exact" if again == LANTERN["question"] else "semantic")
    yield json.dumps(kept)
    yield await world.post("/v1/answers", stream=False, question=again)


async def _exactly_cached(world: World) -> AsyncIterator[str]:
    async for told in _cached(world, LANTERN["question"]):
        yield told


async def _nearly_cached(world: World) -> AsyncIterator[str]:
    async for told in _cached(world, "When is a lantern refilled with the oil?"):
        yield told


async def _replayed(world: World) -> AsyncIterator[str]:
    first = await world.here.ask(world.key, question=LANTERN["question"])
    await _until_at_rest(world)
    yield first.text
    yield (await world.here.ask(world.key, question=LANTERN["question"])).text


async def _resumed(world: World) -> AsyncIterator[str]:
    first = await world.here.ask(world.key, question=LANTERN["question"])
    await _until_at_rest(world)
    yield (await world.there.resume(world.key, first.headers["x-answer-id"])).text
    yield (await world.there.resume(world.key, first.headers["x-answer-id"])).text


async def _followed(world: World, at: Process) -> AsyncIterator[str]:
    """Still being written here; all that was said before the deletion is read before it."""
    world.llm.scripts = [HANGS]
    writing = asyncio.create_task(world.here.ask(world.key, question=LANTERN["question"]))
    headers = {"Authorization": f"Bearer {world.key}", "Idempotency-Key": "k1"}
    await _until(lambda: any(each._written for each in world.here.app.state.kept._running.values()))
    async with at.client.stream("POST", "/v1/answers", json=LANTERN, headers=headers) as response:
        lines = response.aiter_lines()
        yield await _read(lines, "event: citation")
        yield await _read(lines, "event: error")
    writing.cancel()


async def _followed_elsewhere(world: World) -> AsyncIterator[str]:
    async for told in _followed(world, world.there):
        yield told


async def _followed_here(world: World) -> AsyncIterator[str]:
    async for told in _followed(world, world.here):
        yield told


async def _handed_in(world: World, ask: Callable[[str], str]) -> AsyncIterator[str]:
    """A state of it waits; `ask` makes the address of what tells of that, from its job."""
    job = (await asyncio.to_thread(hand_in, world.dsn, submission(URI, TEXT))).job_id
    yield await world.get(ask(str(job)))
    yield await world.get(ask(str(job)))


async def _revised(world: World) -> AsyncIterator[str]:
    async for told in _handed_in(world, lambda _job: f"/v1/documents/{ID}/revisions"):
        yield told


async def _in_a_job(world: World) -> AsyncIterator[str]:
    async for told in _handed_in(world, lambda job: f"/v1/jobs/{job}/documents"):
        yield told


PATHS: dict[str, Path] = {
    "search": asked_twice(lambda world: world.post("/v1/search")),
    "search by words alone": asked_twice(_by_words),
    "search by the vector index": asked_twice(_by_index),
    "search by a filter": asked_twice(_by_filter),
    "a field that is known": asked_twice(_known_field),
    "explanation": asked_twice(lambda world: world.post("/v1/search", explain=True)),
    "explanation of a named document": asked_twice(
        lambda world: world.post("/v1/search", explain=True, document=str(ID))
    ),
    "search, grown": asked_twice(lambda world: world.post("/v1/search", expand="section")),
    "document": asked_twice(lambda world: world.get(f"/v1/documents/{ID}")),
    "documents": asked_twice(lambda world: world.get("/v1/documents")),
    "chunks": asked_twice(lambda world: world.get(f"/v1/documents/{ID}/chunks")),
    "revisions": _revised,
    "documents of a job": _in_a_job,
    "streamed answer": asked_twice(lambda world: world.post("/v1/answers")),
    "whole answer": asked_twice(lambda world: world.post("/v1/answers", stream=False)),
    "tool: search": asked_twice(lambda world: _with_tool(world, "search", {"query": "lantern oil"})),
    "tool: open_document": asked_twice(lambda world: _with_tool(world, "open_document", {"document": str(ID)})),
    "tool: list_documents": asked_twice(lambda world: _with_tool(world, "list_documents", {})),
    "cached answer": _exactly_cached,
    "cached answer to nearly the same": _nearly_cached,
    "replayed answer": _replayed,
    "resumed answer": _resumed,
    "answer followed where it is written": _followed_here,
    "answer followed elsewhere": _followed_elsewhere,
}

ROUTES = {
    ("post", "/v1/search"): "search",
    ("post", "/v1/answers"): "streamed answer",
    ("get", "/v1/answers/{answer_id}/events"): "resumed answer",
    ("get", "/v1/documents/{document_id}"): "document",
    ("get", "/v1/documents"): "documents",
    ("get", "/v1/documents/{document_id}/chunks"): "chunks",
    ("get", "/v1/documents/{document_id}/revisions"): "revisions",
    ("get", "/v1/jobs/{job_id}/documents"): "documents of a job",
    ("put", "/v1/documents"): None,  # ids of what was handed in
    ("post", "/v1/documents"): None,
    ("post", "/v1/documents/batch"): None,
    ("patch", "/v1/documents/{document_id}"): None,  # what is changed is there
    ("delete", "/v1/documents/{document_id}"): None,  # receipts: ids and counts
    ("post", "/v1/documents/delete"): None,
    ("get", "/v1/receipts"): None,
    ("get", "/v1/receipts/{receipt_id}"): None,
    ("post", "/v1/receipts/{receipt_id}/verify"): None,
    ("get", "/v1/jobs"): None,  # counts
    ("get", "/v1/jobs/{job_id}"): None,
    ("get", "/v1/jobs/{job_id}/events"): None,
    ("post", "/v1/jobs/{job_id}/cancel"): None,
    ("post", "/v1/jobs/{job_id}/retry"): None,
    ("get", "/v1/webhooks"): None,  # addresses, ids and states
    ("post", "/v1/webhooks"): None,
    ("delete", "/v1/webhooks/{webhook_id}"): None,
    ("post", "/v1/webhooks/{webhook_id}/rotate"): None,
    ("post", "/v1/webhooks/{webhook_id}/enable"): None,
    ("post", "/v1/webhooks/{webhook_id}/test"): None,
    ("get", "/v1/webhooks/{webhook_id}/deliveries"): None,
    ("post", "/v1/webhooks/{webhook_id}/replay"): None,
    ("get", "/v1/usage"): None,  # tokens and costs
    ("get", "/livez"): None,
    ("get", "/readyz"): None,  # states of parts
    ("get", "/metrics"): None,  # counts without labels of anybody's: tests/integration/test_metrics.py
}
"""Each route, and the path by which it is asked; None: it knows nothing of documents."""

COMMANDS = {
    "ask": "streamed answer",
    "explain": "explanation of a named document",
    "ingest": None,  # reads files, not the index
    "sync": None,  # reads sources
    "worker": None,
    "jobs": "documents of a job",
    "webhooks": None,
    "reembed": None,  # counts
    "generations": None,
    "delete": None,  # prints receipts
    "receipts": None,
    "doctor": None,  # counts and codes
    "usage": None,
    "serve": None,
    "eval": None,  # a corpus of its own
    "demo": None,
    "keys": None,
    "budgets": None,
    "db": None,
}


def test_every_route_is_asked() -> None:
    """Each operation of the API is listed with its path."""
    paths = create_app(Settings()).openapi()["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == set(ROUTES)
    assert set(filter(None, ROUTES.values())) <= set(PATHS)


def test_every_command_is_asked() -> None:
    """Each command is listed with its path."""
    group = typer.main.get_group(commands)
    assert set(group.list_commands(typer.Context(group))) == set(COMMANDS)
    assert set(filter(None, COMMANDS.values())) <= set(PATHS)


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    emptied(database)
    place(database, "acme", made(source(URI, metadata={"lamp": 7}), TEXT))
    place(database, "acme", made(source("other.md"), "The north gate closes at eight in the evening."))
    build_vector_index(database, ACME, Generation(embedder=WordEmbedder.name, dimensions=64), 0)
    key = create_key(database, ACME, "all", {"query", "explain", "admin", "documents"}, {"user:ada"})
    with scripted_llm(answer(WORDS)) as llm:
        async with process(database, llm, served=True, lease=3.0) as here, process(database, llm, served=True) as there:
            yield World(dsn=database, here=here, there=there, llm=llm, key=key)


def _gone(dsn: str, way: Way) -> None:
    deletion = Deletion(dsn=dsn, tenant=ACME, asked_by="test", asked_at=datetime.now(UTC))
    match way:
        case "uri":
            delete_documents(deletion, uris=[URI])
        case "filter":
            delete_matching(deletion, parse_filter('{"field": "metadata.lamp", "eq": 7}'))
        case "tenant":
            delete_tenant(deletion)


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_deleted_is_returned_by_no_path(world: World, path: str) -> None:
    """The path tells of the document, the document is deleted, the path does not tell of it."""
    telling = PATHS[path](world)
    before = await anext(telling)
    assert TELLS in before, before
    await asyncio.to_thread(_gone, world.dsn, "uri")
    after = await anext(telling)
    assert TELLS not in after, after
    async for _ in telling:
        raise AssertionError("a path is asked twice")


@pytest.mark.parametrize("way", ["filter", "tenant"])
@pytest.mark.parametrize("path", ["search", "document", "streamed answer", "replayed answer", "resumed answer"])
async def test_however_it_is_deleted(world: World, path: str, way: Way) -> None:
    """By a filter, or with its whole tenant: the same."""
    telling = PATHS[path](world)
    assert TELLS in await anext(telling)
    await asyncio.to_thread(_gone, world.dsn, way)
    after = await anext(telling)
    assert TELLS not in after, after


async def test_nothing_is_in_the_measures(world: World) -> None:
    """Neither before nor after does a measure name a document, a tenant or a word."""
    await world.post("/v1/answers")
    await asyncio.to_thread(_gone, world.dsn, "uri")
    measures = await world.get("/metrics")
    assert "pincite_document_invisible_seconds" in measures
    for word in (TELLS, "zephyr", "acme", str(ID)):
        assert word not in measures


async def _until_at_rest(world: World) -> None:
    await _until(lambda: not world.here.app.state.kept._running)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - it is the service's own state
            await asyncio.sleep(0.02)


async def _read(lines: AsyncIterator[str], wanted: str) -> str:
    """What comes, up to the event that holds this."""
    seen = ""
    async with asyncio.timeout(30):
        async for line in lines:
            seen += f"{line}\n"
            if not line and wanted in seen:
                return seen
    raise AssertionError(seen)
