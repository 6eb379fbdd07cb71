"""The OpenAI-compatible embedder against a server that misbehaves in the ways such servers do."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from retrieval.errors import EmbedderUnavailable
from retrieval.models.openai_embedder import OpenAiEmbedder
from retrieval.settings import BreakerSettings, EmbedderSettings


class EmbeddingServer:
    """Answers each request by the next fault in line, then properly: a vector of the text's length and a constant."""

    def __init__(self) -> None:
        self.faults: list[Response | dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.app = Starlette(routes=[Route("/v1/embeddings", self.embed, methods=["POST"])])

    async def embed(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if self.faults:
            fault = self.faults.pop(0)
            return fault if isinstance(fault, Response) else JSONResponse(fault)
        # Out of order on purpose: the protocol has an index for that.
        data = [{"index": at, "embedding": [float(len(text)), 1.0]} for at, text in enumerate(body["input"])]
        return JSONResponse({"object": "list", "model": "m", "data": data[::-1]})


@contextmanager
def embedding_server() -> Iterator[tuple[EmbeddingServer, str]]:
    """The server, running, and its base URL."""
    embeddings = EmbeddingServer()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running = uvicorn.Server(uvicorn.Config(embeddings.app, log_level="error"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield embeddings, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        running.should_exit = True
        thread.join()


@pytest.fixture
def server() -> Iterator[tuple[EmbeddingServer, str]]:
    with embedding_server() as running:
        yield running


@pytest.fixture
async def embedder(server: tuple[EmbeddingServer, str]) -> AsyncIterator[OpenAiEmbedder]:
    settings = EmbedderSettings(provider="openai", model="m", base_url=server[1], batch_size=2, timeout=1.0)
    made = OpenAiEmbedder(settings)
    yield made
    await made.close()


def test_batches_come_back_as_unit_vectors_in_order(
    server: tuple[EmbeddingServer, str], embedder: OpenAiEmbedder
) -> None:
    """Texts go out in batches, vectors come back by index, normalised."""
    vectors = embedder.embed_documents(["a", "bb", "cccc"])
    expected = np.array([[1, 1], [2, 1], [4, 1]]) / np.sqrt([[2], [5], [17]])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert [request["input"] for request in server[0].requests] == [["a", "bb"], ["cccc"]]
    assert embedder.dimensions == 2


def test_a_rate_limit_is_waited_out(server: tuple[EmbeddingServer, str], embedder: OpenAiEmbedder) -> None:
    """A 429 while ingesting is no failure: the call is made again after what Retry-After says."""
    server[0].faults = [Response(status_code=429, headers={"retry-after": "0.01"})]
    assert embedder.embed_documents(["a"]).shape == (1, 2)
    assert len(server[0].requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0, 0.0]}] * 2,
        [{"index": 0, "embedding": [0.0, 0.0]}],
        [{"index": 0, "embedding": []}],
    ],
    ids=["none", "too many", "zero", "empty"],
)
async def test_an_answer_that_is_no_vector_is_refused(
    server: tuple[EmbeddingServer, str], embedder: OpenAiEmbedder, data: list[Any]
) -> None:
    """What is not exactly one usable vector per text never reaches the index or a search."""
    server[0].faults = [{"object": "list", "model": "m", "data": data}] * 2
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_documents(["a"])
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed_question("a")


async def test_a_refusal_is_not_retried(server: tuple[EmbeddingServer, str], embedder: OpenAiEmbedder) -> None:
    """A wrong key is `EmbedderUnavailable` at once."""
    server[0].faults = [Response(status_code=401)]
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed_question("a")
    assert len(server[0].requests) == 1


async def test_nothing_listens() -> None:
    """A provider that is not there is `EmbedderUnavailable` within the time-out."""
    embedder = OpenAiEmbedder(
        EmbedderSettings(provider="openai", model="m", base_url="http://127.0.0.1:1", timeout=0.5)
    )
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed_question("a")
    with pytest.raises(EmbedderUnavailable):
        await embedder.ping()
    await embedder.close()


def test_tokens_are_never_counted_short(embedder: OpenAiEmbedder) -> None:
    """With or without its tokenizer at hand, a count is there, and grows with the text."""
    short, long = embedder.count_tokens(["pump", "pump " * 100])
    assert 1 <= short < long
    assert long >= 100


async def test_a_provider_that_fails_questions_is_left_alone_then_tried_again(
    server: tuple[EmbeddingServer, str],
) -> None:
    """After so many failures nobody waits for it any more, until its rest is over."""
    settings = EmbedderSettings(provider="openai", model="m", base_url=server[1], timeout=1.0)
    embedder = OpenAiEmbedder(settings, BreakerSettings(failures=2, rest=0.2))
    server[0].faults = [Response("[", media_type="application/json") for _ in range(2)]
    for _ in range(4):
        with pytest.raises(EmbedderUnavailable):
            await embedder.embed_question("a")
    assert len(server[0].requests) == 2
    await asyncio.sleep(0.3)
    assert (await embedder.embed_question("a")).shape == (2,)
    await embedder.close()
