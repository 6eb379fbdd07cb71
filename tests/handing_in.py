"""The HTTP API for documents, with a client for each kind of key."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from fastapi import FastAPI

from api.app import create_app
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.e2e.corpus import engine_on
from tests.e2e.standing import client_of
from tests.fakes import WordEmbedder
from tests.queues import PUMP, turn, workshop

QUESTION = "Which pump needs oil?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The app, and who asks it: who manages, who reads as ada or as HR, and another tenant's manager."""

    dsn: str
    app: FastAPI
    manager: httpx2.AsyncClient
    ada: httpx2.AsyncClient
    hr: httpx2.AsyncClient
    stranger: httpx2.AsyncClient

    async def put(self, uri: str = "pump.txt", text: str = PUMP, **other: Any) -> dict[str, Any]:
        """Hands a document in, and gives what was answered."""
        body = {"uri": uri, "text": text, "allow": ["everyone"]} | other
        response = await self.manager.put("/v1/documents", json=body)
        assert response.status_code == 202, response.text
        answered: dict[str, Any] = response.json()
        return answered

    async def put_form(
        self, said: dict[str, Any], content: bytes = PUMP.encode(), name: str = "a.md"
    ) -> httpx2.Response:
        """Hands a file in by a form."""
        parts: dict[str, Any] = {"file": (name, content), "document": (None, json.dumps(said), "application/json")}
        return await self.manager.put("/v1/documents", files=parts)

    async def found(self, client: httpx2.AsyncClient | None = None) -> set[str]:
        """The uris that a search for the pump finds."""
        response = await (client or self.ada).post("/v1/search", json={"question": QUESTION})
        assert response.status_code == 200, response.text
        return {passage["uri"] for passage in response.json()["passages"]}


@asynccontextmanager
async def open_desk(dsn: str, worker: dict[str, Any] | None = None, **ingest: Any) -> AsyncIterator[Desk]:
    """The app over this database, with these settings of its workers and of the ingest path."""
    async with engine_on(dsn, WordEmbedder()) as engine, AsyncExitStack() as stack:
        changed = engine.settings.ingest.model_copy(update=ingest)
        workers = engine.settings.worker.model_copy(update=worker or {})
        app = create_app(replace(engine.settings, ingest=changed, worker=workers), engine)
        stack.push_async_callback(app.state.writing.close)

        async def client(tenant: str, scopes: set[str], *principals: str) -> httpx2.AsyncClient:
            key = create_key(dsn, tenant_id(tenant), "test", scopes, principals)
            opened = await stack.enter_async_context(client_of(app))
            opened.headers["Authorization"] = f"Bearer {key}"
            return opened

        yield Desk(
            dsn=dsn,
            app=app,
            manager=await client("acme", {"documents"}),
            ada=await client("acme", {"query"}, "user:ada"),
            hr=await client("acme", {"query"}, "group:hr"),
            stranger=await client("globex", {"documents", "query"}),
        )


def work(desk: Desk, embedder: WordEmbedder | None = None) -> None:
    """A worker takes its turn."""
    shop = workshop(desk.dsn, embedder)
    turn(shop)


def broken() -> dict[str, Any]:
    return {"uri": "broken.pdf", "content_base64": "eA==", "file_name": "broken.pdf", "allow": ["everyone"]}


async def pages_of(desk: Desk, address: str, name: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list."""
    pages: list[list[dict[str, Any]]] = []
    while len(pages) < 20:
        response = await desk.manager.get(address, params=parameters)
        assert response.status_code == 200, response.text
        pages.append(response.json()[name])
        if response.json()["next"] is None:
            break
        parameters["cursor"] = response.json()["next"]
    return pages
