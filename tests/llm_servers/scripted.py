"""A server that speaks the protocols of models over HTTP and does as it is told, faults included.

Chat completions are streamed by script. Embeddings are those of `WordEmbedder`, rerank scores those of
`OverlapReranker` in Cohere's shape, both spoilt as the script says.

    with scripted_llm(status(429, retry_after=0.01), answer("Thirty days [1].")) as server:
        llm = LlmGateway(server.settings())

Each request takes the next script; the last one repeats. A script may also be a function of the request.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from retrieval.settings import LlmSettings
from tests.fakes import OverlapReranker, WordEmbedder

_FOREVER = 60.0
_PIECE = 64


@dataclass(frozen=True, kw_only=True)
class Script:
    """How one request is answered: headers first, then events with a pause before each, then an end."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    events: tuple[str, ...] = ()
    pause: float = 0.0
    hang_before_headers: bool = False
    hang_at_end: bool = False
    cut_at_end: bool = False
    done: bool = True
    spoil: Callable[[dict[str, Any]], str] = field(default=json.dumps, repr=False)
    """What an embedding or a ranking is turned into before it is sent."""


Scripted = Script | Callable[[dict[str, Any]], Script]


def answer(
    text: str | Sequence[str], *, usage: tuple[int, int] | None = (11, 7), finish_reason: str | None = "stop"
) -> Script:
    """A whole answer, word by word (or in the given pieces), with its usage."""
    pieces = [word + " " for word in text.split(" ")] if isinstance(text, str) else list(text)
    if isinstance(text, str):
        pieces[-1] = pieces[-1].removesuffix(" ")
    events = [_chunk({"role": "assistant", "content": ""}), *(_chunk({"content": piece}) for piece in pieces)]
    if finish_reason:
        events.append(_chunk({}, finish_reason=finish_reason))
    if usage:
        events.append(_usage(*usage))
    return Script(events=tuple(events))


def calling(*calls: tuple[str, str], text: str = "", usage: tuple[int, int] | None = (11, 7)) -> Script:
    """Tool calls by name and written arguments, all at once and each in pieces, after these words."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    for at, (name, _) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": at, "id": f"made-up-{at}", "type": "function", "function": function}]})
    longest = max((len(written) for _, written in calls), default=0)
    for start in range(0, longest, _PIECE):
        for at, (_, written) in enumerate(calls):
            if piece := written[start : start + _PIECE]:
                deltas.append({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
    events = [*(_chunk(delta) for delta in deltas), _chunk({}, finish_reason="tool_calls")]
    return Script(events=(*events, _usage(*usage)) if usage else tuple(events))


def deltas(*deltas: dict[str, Any], finish_reason: str | None = "stop") -> Script:
    """A stream of just these deltas."""
    events = [_chunk(delta) for delta in deltas]
    return Script(events=(*events, _chunk({}, finish_reason=finish_reason)) if finish_reason else tuple(events))


def status(code: int, *, retry_after: float | None = None, error: dict[str, Any] | None = None) -> Script:
    """An HTTP error, with a body of the kind servers send: full of things the caller must not see."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    body = error or {"message": f"SECRET provider detail {code} at /srv/models", "type": "server_error", "code": code}
    return Script(status=code, headers=headers, body={"error": body})


def loading() -> Script:
    """llama.cpp while it reads its weights."""
    return status(503, error={"message": "Loading model", "type": "unavailable_error", "code": 503})


def context_overflow() -> Script:
    """llama.cpp's answer to a prompt that is too long."""
    return status(400, error={"message": "SECRET 9000 tokens", "type": "exceed_context_size_error", "code": 400})


def context_overflow_in_words() -> Script:
    """vLLM's: only the message tells it from any other refusal."""
    message = "SECRET This model's maximum context length is 2048 tokens. However, you requested 9000 tokens."
    return status(400, error={"message": message, "type": "BadRequestError", "param": None, "code": 400})


def too_deep() -> Script:
    """JSON that no parser follows to its end."""
    return gibberish("[" * 200_000)


def hang_before_first_token() -> Script:
    return Script(hang_before_headers=True)


def hang_midway(text: str) -> Script:
    return replace(answer(text, finish_reason=None, usage=None), hang_at_end=True)


def cut_midway(text: str) -> Script:
    """The connection is torn down without an end of the body."""
    return replace(answer(text, finish_reason=None, usage=None), cut_at_end=True)


def slow_drip(text: str, pause: float) -> Script:
    """No pause between two words is long enough for a read time-out."""
    return replace(answer(text), pause=pause)


def empty() -> Script:
    """200 and not one chunk, as some servers answer a prompt that is too long."""
    return Script(done=False)


def error_event(text: str) -> Script:
    """An error inside a stream that began well."""
    begun = answer(text, finish_reason=None, usage=None)
    event = json.dumps({"error": {"message": "SECRET cuda out of memory", "type": "server_error", "code": 500}})
    return replace(begun, events=(*begun.events, event), done=False)


def gibberish(*events: str) -> Script:
    return Script(events=events)


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> str:
    return json.dumps({**_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def _usage(prompt: int, completion: int) -> str:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return json.dumps({**_HEAD, "choices": [], "usage": usage})


_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}


class ScriptedLlm:
    """The running server: what it was asked, and how many of its streams were left before their end."""

    def __init__(self, scripts: Sequence[Scripted]) -> None:
        self.scripts = list(scripts)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.disconnects = 0
        self.at_once = 0
        self.most_at_once = 0
        self.models_status = 200
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def settings(self, **overrides: Any) -> LlmSettings:
        """Settings that reach this server, with time-outs short enough for a test."""
        short = {"connect_timeout": 5.0, "token_timeout": 3.0, "deadline": 10.0, "retries": 0}
        return LlmSettings(**{"model": "scripted", "base_url": self.base_url, **short, **overrides})

    def wait_for(self, condition: Callable[["ScriptedLlm"], bool], seconds: float = 3.0) -> bool:
        """True as soon as the condition holds; the server runs in a thread of its own."""
        until = time.monotonic() + seconds
        while not condition(self) and time.monotonic() < until:
            time.sleep(0.01)
        return condition(self)

    async def completions(self, request: Request) -> Response:
        script = await self._next(request)
        if script.body is not None:
            return JSONResponse(script.body, status_code=script.status, headers=script.headers)
        return StreamingResponse(self._events(script), script.status, media_type="text/event-stream")

    async def _next(self, request: Request) -> Script:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        self.paths.append(f"{request.url.path}?{request.url.query}")
        scripted = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        script = scripted if isinstance(scripted, Script) else scripted(self.requests[-1])
        if script.hang_before_headers:
            await self._linger(request)
        return script

    async def embeddings(self, request: Request) -> Response:
        texts = (await request.json())["input"]
        vectors = [vector.tolist() for vector in WordEmbedder().embed_documents(texts)]
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return await self._whole(request, {"object": "list", "model": "words-64", "data": data, "usage": usage})

    async def rerank(self, request: Request) -> Response:
        asked = await request.json()
        scores = await OverlapReranker().score(asked["query"], asked["documents"])
        results = [{"index": at, "relevance_score": score} for at, score in enumerate(scores)]
        return await self._whole(request, {"results": results, "usage": {"total_tokens": 9}})

    async def _whole(self, request: Request, good: dict[str, Any]) -> Response:
        """One JSON body, as the script spoils it: torn in the middle, dripping, or not sent at all."""
        script = await self._next(request)
        if script.body is not None:
            return JSONResponse(script.body, status_code=script.status, headers=script.headers)
        text = script.spoil(good)
        torn = text[: len(text) // 2] if script.hang_at_end or script.cut_at_end else text
        return StreamingResponse(self._body(script, torn), media_type="application/json")

    async def _body(self, script: Script, text: str) -> AsyncIterator[str]:
        for start in range(0, len(text), 8):
            await asyncio.sleep(script.pause)
            yield text[start : start + 8]
        if script.hang_at_end:
            await asyncio.sleep(_FOREVER)
        if script.cut_at_end:
            raise _Cut

    async def models(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        return JSONResponse({"object": "list", "data": []}, status_code=self.models_status)

    async def _linger(self, request: Request) -> None:
        until = time.monotonic() + _FOREVER
        while time.monotonic() < until:
            if await request.is_disconnected():
                self.disconnects += 1
                return
            await asyncio.sleep(0.02)

    async def _events(self, script: Script) -> AsyncIterator[str]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for event in script.events:
                await asyncio.sleep(script.pause)
                yield f"data: {event}\n\n"
            if script.hang_at_end:
                await asyncio.sleep(_FOREVER)
            if script.cut_at_end:
                raise _Cut
            if script.done:
                yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.disconnects += 1
            raise
        finally:
            self.at_once -= 1


class _Cut(Exception):
    """Makes uvicorn drop the connection in the middle of a body."""


@contextmanager
def scripted_llm(*scripts: Scripted) -> Iterator[ScriptedLlm]:
    """A scripted server on a free loopback port, running in a thread until the block ends."""
    state = ScriptedLlm(scripts or (answer("Thirty days [1]."),))
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", state.completions, methods=["POST"]),
            Route("/openai/deployments/{name}/chat/completions", state.completions, methods=["POST"]),
            Route("/v1/embeddings", state.embeddings, methods=["POST"]),
            Route("/v1/rerank", state.rerank, methods=["POST"]),
            Route("/v1/models", state.models, methods=["GET"]),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        state.port = _port(server, thread)
        yield state
    finally:
        server.should_exit = server.force_exit = True
        thread.join(5)


def _port(server: uvicorn.Server, thread: threading.Thread) -> int:
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the scripted server did not start")
        time.sleep(0.005)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port
