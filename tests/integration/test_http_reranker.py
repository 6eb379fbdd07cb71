"""The HTTP reranker against a server that speaks both shapes, and misbehaves in the ways such servers do."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retrieval.errors import InvalidSettings, RerankerUnavailable
from retrieval.models.http_reranker import HttpReranker
from retrieval.models.loading import load_reranker
from retrieval.settings import BreakerSettings, RerankerSettings, Settings

SHAPES = ["cohere", "tei"]


class RerankServer:
    """Scores by a passage's length, best first, as both shapes do; or answers by the fault that is set."""

    def __init__(self) -> None:
        self.fault: Response | None = None
        self.slow = 0.0
        self.requests: list[tuple[dict[str, Any], str | None]] = []
        routes = [Route("/cohere", self.cohere, methods=["POST"]), Route("/tei", self.tei, methods=["POST"])]
        self.app = Starlette(routes=routes)

    async def cohere(self, request: Request) -> Response:
        scores = await self._scores(request, "documents")
        return self.fault or JSONResponse({"results": [{"index": at, "relevance_score": it} for it, at in scores]})

    async def tei(self, request: Request) -> Response:
        scores = await self._scores(request, "texts")
        return self.fault or JSONResponse([{"index": at, "score": it} for it, at in scores])

    async def _scores(self, request: Request, field: str) -> list[tuple[float, int]]:
        body = await request.json()
        self.requests.append((body, request.headers.get("authorization")))
        await asyncio.sleep(self.slow)
        return sorted(((len(text) / 10, at) for at, text in enumerate(body[field])), reverse=True)


@pytest.fixture
def server() -> Iterator[tuple[RerankServer, str]]:
    reranking = RerankServer()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running = uvicorn.Server(uvicorn.Config(reranking.app, log_level="error"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield reranking, f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@asynccontextmanager
async def opened(base: str, shape: str, **more: Any) -> AsyncIterator[HttpReranker]:
    provider: Literal["cohere", "tei"] = "tei" if shape == "tei" else "cohere"
    reranker = load_reranker(RerankerSettings(provider=provider, model="m", url=f"{base}/{shape}", **more), None)
    assert isinstance(reranker, HttpReranker)
    yield reranker
    await reranker.close()


@pytest.mark.parametrize("shape", SHAPES)
async def test_one_score_per_passage_in_their_order(server: tuple[RerankServer, str], shape: str) -> None:
    """Scores come back best first and are put in the passages' order; the key goes along."""
    async with opened(server[1], shape, api_key="secret") as reranker:
        assert await reranker.score("q", ["aa", "aaaa", ""]) == [0.2, 0.4, 0.0]
        assert await reranker.score("q", []) == []
        await reranker.ping()
    body, authorization = server[0].requests[0]
    assert (body["query"], authorization) == ("q", "Bearer secret")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "fault",
    [
        JSONResponse({"message": "too many"}, status_code=429),
        JSONResponse({}, status_code=500),
        Response("<html>"),
        JSONResponse({"results": [{"index": 0, "relevance_score": 1}]}),
        JSONResponse([{"index": 0, "score": 1}, {"index": 0, "score": 2}]),
        Response('[{"index": 0, "score": NaN}, {"index": 1, "score": 1}]', media_type="application/json"),
    ],
    ids=["429", "500", "html", "too few", "twice", "nan"],
)
async def test_what_is_no_score_is_a_failure(server: tuple[RerankServer, str], shape: str, fault: Response) -> None:
    """Whatever comes back instead of one score per passage is `RerankerUnavailable`: the fused order stands."""
    server[0].fault = fault
    async with opened(server[1], shape) as reranker:
        with pytest.raises(RerankerUnavailable):
            await reranker.score("q", ["a", "b"])
    assert len(server[0].requests) == 1


async def test_a_slow_server_is_given_up(server: tuple[RerankServer, str]) -> None:
    """The clock is on the whole call."""
    server[0].slow = 5.0
    async with opened(server[1], "tei", budget=0.2) as reranker:
        with pytest.raises(RerankerUnavailable, match="did not answer"):
            await reranker.score("q", ["a"])


async def test_nobody_there_is_said_so() -> None:
    """A server that is not running is `RerankerUnavailable`, for a probe too."""
    async with opened("http://127.0.0.1:1", "tei") as reranker:
        with pytest.raises(RerankerUnavailable, match="ConnectError"):
            await reranker.score("q", ["a"])
        with pytest.raises(RerankerUnavailable, match="ConnectError"):
            await reranker.ping()


def test_without_a_url_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP provider without an endpoint is a mistake in the settings."""
    monkeypatch.setenv("PINCITE_RERANKER_PROVIDER", "tei")
    with pytest.raises(InvalidSettings, match="PINCITE_RERANKER_URL"):
        Settings()


async def test_a_server_that_fails_is_left_alone_then_tried_again(server: tuple[RerankServer, str]) -> None:
    """After so many failures it is not asked until its rest is over; a request that it refuses is no failure."""
    reranking, base = server
    settings = RerankerSettings(provider="tei", url=f"{base}/tei")
    reranker = HttpReranker(settings, BreakerSettings(failures=2, rest=0.2))

    async def fails() -> None:
        with pytest.raises(RerankerUnavailable):
            await reranker.score("q", ["a"])

    reranking.fault = JSONResponse({}, status_code=413)
    for _ in range(3):
        await fails()
    reranking.fault = JSONResponse({}, status_code=503)
    for _ in range(4):
        await fails()
    assert len(reranking.requests) == 5
    reranking.fault = None
    await asyncio.sleep(0.3)
    assert await reranker.score("q", ["aa"]) == [0.2]
    await reranker.close()
