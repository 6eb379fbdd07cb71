"""One chat endpoint behind the OpenAI protocol: one request, always streamed, never retried here.

Everything that fails leaves as a `Fault`, whether before the first words or in the middle.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from retrieval.domain import Usage
from retrieval.endpoints import EndpointSettings
from retrieval.generation.prompting import Prompt
from retrieval.generation.reply import ReplyText
from retrieval.generation.tool_calls import ToolCall
from retrieval.settings import LlmSettings
from retrieval.upstream.faults import Broken, Refused, Undecided
from retrieval.upstream.openai_faults import FAILURES, fault_of, speaks_of_tools, unbilled

SERVER = "the language model"
_OPENAI = "https://api.openai.com/v1"
_PING_TIMEOUT = 1.5
_USAGE_PATIENCE = 2.0
"""Seconds to wait for the usage after the answer itself is whole."""


class Reply:
    """An answer whose first words are there."""

    def __init__(self, chunks: AsyncStream[ChatCompletionChunk], text: ReplyText, token_timeout: float) -> None:
        self._chunks = chunks
        self._text = text
        self._token_timeout = token_timeout
        self._first = ""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """What the model asks of its tools instead of answering; `preamble` is what it said before."""
        return self._text.calls

    @property
    def preamble(self) -> str:
        return self._text.text

    @property
    def usage(self) -> Usage:
        """What it took; final once the pieces are at their end."""
        return self._text.usage

    async def begin(self, first_by: float, deadline: float) -> None:
        """Returns with the first words, or with the calls, whole, of a model that asks its tools instead."""
        self._first = await self._next(first_by)
        while not self._first and not self._text.whole:
            self._first = await self._next(self._patience(deadline))

    async def pieces(self, deadline: float) -> AsyncGenerator[str, None]:
        """The text, piece by piece, the first words again included.

        Missing the deadline is `Undecided`: it passes too while whoever reads the pieces takes their time.
        """
        if self._first:
            yield self._first
        while not self._text.whole:
            if piece := await self._next_by(deadline):
                yield piece
        if self._text.finished:
            await self._wait_for_usage(min(deadline, _now() + _USAGE_PATIENCE))

    async def _next_by(self, deadline: float) -> str:
        until = _now() + self._token_timeout
        if until < deadline:
            return await self._next(until)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._next(until)
        except TimeoutError:
            raise Undecided(f"{SERVER} did not end its answer in time") from None

    def _patience(self, deadline: float) -> float:
        return min(deadline, _now() + self._token_timeout)

    async def _next(self, until: float) -> str:
        """The next chunk's text, possibly empty: a model that thinks is alive, a server's bare heartbeat is not."""
        try:
            async with asyncio.timeout_at(until):
                return self._text.take(await anext(self._chunks))
        except StopAsyncIteration:
            self._text.ended = True
            raise Broken(f"{SERVER}'s answer ended before it was complete") from None
        except FAILURES as error:
            raise fault_of(error, SERVER) from error

    async def _wait_for_usage(self, until: float) -> None:
        """Reads on to the stream's end. The answer is already whole, so nothing that fails here matters."""
        try:
            async with asyncio.timeout_at(until):
                async for chunk in self._chunks:
                    self._text.note_usage(chunk)
        except FAILURES:
            return


class ChatClient:
    """The way to one endpoint. Three clocks: to connect, between tokens, and the caller's deadline over all."""

    def __init__(self, endpoint: EndpointSettings, settings: LlmSettings) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._client = _client(endpoint, settings)

    @asynccontextmanager
    async def reply(self, text: ReplyText, deadline: float) -> AsyncIterator[Reply]:
        """An answer that has begun; leaving the block ends the upstream call. Raises `Fault`.

        `text`, empty as yet, says what is asked and collects what comes of it.
        """
        first_by = min(deadline, _now() + self._settings.connect_timeout + self._settings.token_timeout)
        chunks = await self._open(text, first_by)
        try:
            reply = Reply(chunks, text, self._settings.token_timeout)
            await reply.begin(first_by, deadline)
            yield reply
        finally:
            await chunks.close()

    async def ping(self) -> None:
        """Returns when the endpoint answers. Raises `Fault`."""
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                # Raw: a server's list of models need not be well formed to be a sign of life.
                await self._client.models.with_raw_response.list()
        except FAILURES as error:
            raise fault_of(error, SERVER) from error

    async def close(self) -> None:
        await self._client.close()

    async def _open(self, text: ReplyText, until: float) -> AsyncStream[ChatCompletionChunk]:
        request = _request(self._endpoint, text.prompt, text.max_output_tokens)
        try:
            async with asyncio.timeout_at(until):
                chunks: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(**request)
        except FAILURES as error:
            text.declined = unbilled(error)
            if text.prompt.tools and speaks_of_tools(error):
                # Servers say it with 400, 404 or 500: asked without tools, the same server may well answer.
                raise Refused(f"{SERVER} knows no tools") from error
            raise fault_of(error, SERVER) from error
        return chunks


def _client(endpoint: EndpointSettings, settings: LlmSettings) -> openai.AsyncOpenAI:
    # Without a key the client would take OPENAI_API_KEY and hand it to whatever server this is.
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"
    timeout = openai.Timeout(settings.token_timeout, connect=settings.connect_timeout)
    if endpoint.azure_api_version and endpoint.base_url:
        return openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint.base_url,
            api_version=endpoint.azure_api_version,
            api_key=key,
            timeout=timeout,
            max_retries=0,
        )
    return openai.AsyncOpenAI(base_url=endpoint.base_url or _OPENAI, api_key=key, timeout=timeout, max_retries=0)


def _request(endpoint: EndpointSettings, prompt: Prompt, max_output_tokens: int) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": endpoint.model,
        "messages": prompt.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.response_format is not None:
        request["response_format"] = prompt.response_format
    if prompt.tools:
        request["tools"] = list(prompt.tools)
    if endpoint.is_openai:
        return request | {"max_completion_tokens": max_output_tokens}
    return request | {"max_tokens": max_output_tokens, "temperature": 0}


def _now() -> float:
    return asyncio.get_running_loop().time()
