"""Processes of the service over one database and one scripted LLM, and what their clients see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from fastapi import FastAPI

from api.app import create_app
from retrieval.generation.gateway import LlmGateway
from retrieval.settings import KeepingSettings
from tests.e2e.corpus import engine_on
from tests.e2e.standing import client_of, live
from tests.fakes import WordEmbedder
from tests.llm_servers.scripted import ScriptedLlm

GATE = {"question": "When does the north gate close in the evening?"}
WORDS = "The north gate closes at eight in the evening [1]."
FAST: dict[str, Any] = {"flush": 0.02, "poll": 0.05, "grace": 30.0, "lease": 60.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One API process: its app, and a client of it."""

    app: FastAPI
    client: httpx2.AsyncClient

    async def ask(self, key: str, idempotency_key: str | None = "k1", **more: Any) -> httpx2.Response:
        """Asks about the gate, with the API key and the idempotency key, and reads all of the answer."""
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return await self.client.post("/v1/answers", json=GATE | more, headers=headers)

    async def resume(self, key: str, answer_id: str, last: str | None = None) -> httpx2.Response:
        """What is left of a kept answer after the event `last`."""
        headers = {"Authorization": f"Bearer {key}"} | ({} if last is None else {"Last-Event-ID": last})
        return await self.client.get(f"/v1/answers/{answer_id}/events", headers=headers)


@asynccontextmanager
async def process(dsn: str, llm: ScriptedLlm, *, served: bool = False, **keeping: Any) -> AsyncIterator[Process]:
    """A process of the service; `served`: behind a real port, so that a client can hang up."""
    settings = llm.settings(connect_timeout=30.0, token_timeout=30.0, deadline=60.0, max_output_tokens=100_000)
    gateway = LlmGateway(settings)
    async with engine_on(dsn, WordEmbedder(), gateway) as engine:
        engine.settings = replace(engine.settings, keeping=KeepingSettings(**FAST | keeping))
        app = create_app(engine.settings, engine)
        try:
            async with _client(app, served=served) as client:
                yield Process(app=app, client=client)
        finally:
            await app.state.kept.close()


@asynccontextmanager
async def _client(app: FastAPI, *, served: bool) -> AsyncIterator[httpx2.AsyncClient]:
    if not served:
        async with client_of(app) as client:
            yield client
        return
    async with live(app) as url, httpx2.AsyncClient(base_url=url, timeout=60) as client:
        yield client


def ids_of(stream: str) -> list[str]:
    """The events' ids, in order."""
    return [line.removeprefix("id: ") for line in stream.split("\n") if line.startswith("id: ")]


def after(stream: str, event_id: str) -> str:
    """What a stream says after this event."""
    return stream.split(f"id: {event_id}\n\n", 1)[1]
