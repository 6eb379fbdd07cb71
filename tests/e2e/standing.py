"""Standing in and standing up: the app over a scripted query path, and any app on a real loopback port."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.authentication import known_key, opened_engine
from api.routes.answers import AnswerPath, answer_path
from retrieval.access import tenant_id
from retrieval.domain import (
    AnswerEvent,
    AnswerFinished,
    Candidate,
    ChunkKey,
    Citation,
    CitationFound,
    Passage,
    PassagesFound,
    Question,
    RankedPassage,
    Retrieval,
    TextDelta,
)
from retrieval.engine import Engine
from retrieval.keys import ApiKey
from retrieval.settings import ApiSettings, LimitsSettings, Settings

DOCUMENT = UUID(int=7)
KEY = ApiKey(
    key_id="0" * 12,
    tenant=tenant_id("acme"),
    name="test",
    scopes=frozenset({"query"}),
    principals=frozenset({"user:ada"}),
)
QUOTE = "The gate opens at nine."
_PASSAGE = Passage(
    key=ChunkKey(document_id=DOCUMENT, ordinal=0),
    version=3,
    uri="docs/gate.md",
    title="Gate",
    heading_path=("Opening", "Hours"),
    text=QUOTE,
    char_start=10,
    char_end=10 + len(QUOTE),
    first_page=2,
    last_page=2,
)
_CANDIDATE = Candidate(key=_PASSAGE.key, dense_rank=1, lexical_rank=None, cosine=0.6, bm25=2.5, score=0.7049)
FOUND = PassagesFound(
    retrieval=Retrieval(
        passages=(RankedPassage(number=1, passage=_PASSAGE, candidate=_CANDIDATE, rerank_score=0.8049),),
        confidence=0.7049,
        degraded=(),
        timings_ms={"embed": 1.5},
    )
)
CITED = CitationFound(
    citation=Citation(
        number=1,
        document_id=DOCUMENT,
        version=_PASSAGE.version,
        uri=_PASSAGE.uri,
        title=_PASSAGE.title,
        heading_path=_PASSAGE.heading_path,
        first_page=2,
        last_page=2,
        char_start=10,
        char_end=10 + len(QUOTE),
        quote=QUOTE,
        support=1.0,
    )
)
FINISHED = AnswerFinished(
    outcome="answered",
    text="At nine [1].",
    citations=(CITED.citation,),
    rejected_citations=0,
    answered_by="extractive",
    usage=None,
    degraded=(),
    timings_ms={"embed": 1.5, "total": 9.0},
)
GOOD = (FOUND, TextDelta(text="At nine "), TextDelta(text="[1]."), CITED, FINISHED)


class ScriptedPath:
    """A query path that says its events and then ends, raises, or hangs; it knows whether it was let go."""

    def __init__(self, *events: AnswerEvent, then: Exception | None = None, hang: bool = False) -> None:
        self._events, self._then, self._hang = events, then, hang
        self.released = asyncio.Event()

    async def __call__(self, _engine: Engine, _question: Question) -> AsyncGenerator[AnswerEvent, None]:
        try:
            for event in self._events:
                yield event
            if self._then is not None:
                raise self._then
            if self._hang:
                await asyncio.Event().wait()
        finally:
            self.released.set()


def scripted_app(path: AnswerPath, limits: LimitsSettings | None = None, **api: Any) -> FastAPI:
    """The production app with a scripted query path and a known key, so that no database is needed."""
    app = create_app(Settings(api=ApiSettings(**api), limits=limits or LimitsSettings()))
    app.dependency_overrides = {answer_path: lambda: path, known_key: lambda: KEY, opened_engine: lambda: None}
    return app


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    """A client of the app in this process. Failures come back as a server would send them."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://test")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def live(app: FastAPI) -> AsyncIterator[str]:
    """The app behind a real server on a free loopback port, in this loop; yields its base URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await server.up.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await serving


def events_of(stream: str) -> Sequence[tuple[str, Any]]:
    """The (event, data) pairs of a stream; comments are left out."""
    blocks = [block.split("\n") for block in stream.split("\n\n") if block.startswith("event: ")]
    return [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]
