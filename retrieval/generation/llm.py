"""The gateway to a language model: any OpenAI-compatible chat endpoint, always streamed.

Every failure of the model or the way to it leaves here as `LlmUnavailable` (before the first token: fall back) or
`LlmInterrupted` (after it), with a message that is safe to show.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from retrieval.domain import Usage
from retrieval.errors import InvalidSettings, LlmInterrupted, LlmUnavailable
from retrieval.generation.packing import count_tokens
from retrieval.generation.prompting import Prompt
from retrieval.settings import LlmSettings

_OPENAI = "https://api.openai.com/v1"
_PING_TIMEOUT = 2.0
_USAGE_PATIENCE = 2.0
"""Seconds to wait for the usage after the answer itself is whole."""

_MOST_CHARACTERS_PER_TOKEN = 8
"""Twice what prose takes. Servers exist that ignore the token limit they are sent."""

_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})


class Llm(Protocol):
    """A model that writes an answer piece by piece."""

    @property
    def name(self) -> str:
        """The model's name, as shown with the answer."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[str | Usage, None]:
        """Non-empty pieces of text, at least one, then exactly one `Usage`.

        Raises `LlmUnavailable` before the first piece, `LlmInterrupted` after it. Closing the generator early
        ends the upstream call.
        """

    async def ping(self) -> None:
        """Returns when the model's server answers. Raises `LlmUnavailable`."""

    async def close(self) -> None:
        """Gives connections back; nothing may be streaming."""


class OpenAiLlm:
    """An `Llm` behind the OpenAI protocol.

    Retries are the client's alone and happen before the first token: 429, 5xx, connection errors and time-outs, also
    408 and 409 (openai 3.5x), after `Retry-After` when the server names one. `x-should-retry` overrules. The deadline
    covers them all. Each try may wait `token_timeout` for its first byte.
    """

    def __init__(self, settings: LlmSettings) -> None:
        if settings.model is None:
            raise InvalidSettings("setting LlmSettings.model: needed to ask a language model")
        self._model = settings.model
        self._settings = settings
        self._client = AsyncOpenAI(
            base_url=settings.base_url or _OPENAI,
            # Without a key the client would take OPENAI_API_KEY and hand it to whatever server this is.
            api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
            max_retries=settings.retries,
            timeout=openai.Timeout(settings.token_timeout, connect=settings.connect_timeout),
        )

    @property
    def name(self) -> str:
        return self._model

    async def close(self) -> None:
        await self._client.close()

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(_PING_TIMEOUT):
                # Raw: a server's list of models need not be well formed to be a sign of life.
                await self._client.with_options(max_retries=0).models.with_raw_response.list()
        except (openai.OpenAIError, TimeoutError) as error:
            raise LlmUnavailable(_explain(error)) from error

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Usage, None]:
        deadline = asyncio.get_running_loop().time() + self._settings.deadline
        chunks = await self._open(prompt, deadline)
        answer = _Answer(self._settings.max_output_tokens * _MOST_CHARACTERS_PER_TOKEN)
        try:
            while not answer.whole and (piece := await _next_piece(chunks, answer, deadline)) is not None:
                if piece:
                    yield piece
            if answer.finished:
                await _wait_for_usage(chunks, answer)
        finally:
            await chunks.close()
        yield answer.usage or _estimated(prompt, answer.text)

    async def _open(self, prompt: Prompt, deadline: float) -> AsyncStream[ChatCompletionChunk]:
        request = _request(self._settings, prompt)
        try:
            async with asyncio.timeout_at(deadline):
                chunks: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(**request)
        except (openai.OpenAIError, TimeoutError) as error:
            raise LlmUnavailable(_explain(error)) from error
        return chunks


class _Answer:
    """What has come so far. `finished` once the model said so; `whole` also when it wrote more than it was allowed."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._half = ""
        self.text = ""
        self.finished = False
        self.usage: Usage | None = None

    @property
    def whole(self) -> bool:
        return self.finished or len(self.text) >= self._max_characters

    def take(self, chunk: ChatCompletionChunk) -> str:
        """The chunk's piece of text, possibly empty. Raises when the answer is withheld or done without a word."""
        self.note_usage(chunk)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        content = (choice.delta.content if choice.delta else None) or ""
        whole = self._whole_characters(content, last=bool(choice.finish_reason))
        piece = whole[: self._max_characters - len(self.text)]
        self.text += piece
        if choice.finish_reason == "content_filter":
            raise self.broken("the language model's provider withheld the answer")
        self.finished = bool(choice.finish_reason)
        if self.finished and not self.text:
            raise LlmUnavailable("the language model gave an empty answer")
        return piece

    def _whole_characters(self, content: str, *, last: bool) -> str:
        """The text so far whole: servers cut emoji into surrogates. A first half waits, a half alone is `�`."""
        text = self._half + content
        self._half = text[-1:] if not last and "\ud800" <= text[-1:] <= "\udbff" else ""
        pairs = text[: len(text) - len(self._half)].encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "replace")

    def note_usage(self, chunk: ChatCompletionChunk) -> None:
        # Some servers send it with every chunk, each time for all so far: the last one counts.
        if spent := chunk.usage:
            self.usage = Usage(
                prompt_tokens=spent.prompt_tokens, completion_tokens=spent.completion_tokens, estimated=False
            )

    def broken(self, message: str) -> LlmUnavailable:
        """The error for a stream that ends here: which one depends on whether text was already given."""
        return LlmInterrupted(message) if self.text else LlmUnavailable(message)


async def _next_piece(chunks: AsyncStream[ChatCompletionChunk], answer: _Answer, deadline: float) -> str | None:
    """The next chunk's text, None at a proper end."""
    try:
        async with asyncio.timeout_at(deadline):
            return answer.take(await anext(chunks))
    except StopAsyncIteration:
        raise answer.broken("the language model's answer ended before it was complete") from None
    except (openai.OpenAIError, TimeoutError) as error:
        raise answer.broken(_explain(error)) from error
    except (ValueError, AttributeError, TypeError) as error:
        # Chunks are built without validation: what is not JSON or not a chunk shows up where it is read.
        raise answer.broken("the language model's server does not speak the OpenAI protocol") from error


async def _wait_for_usage(chunks: AsyncStream[ChatCompletionChunk], answer: _Answer) -> None:
    """Reads on to the stream's end. The answer is already whole, so nothing that fails here matters."""
    try:
        async with asyncio.timeout(_USAGE_PATIENCE):
            async for chunk in chunks:
                answer.note_usage(chunk)
    except (openai.OpenAIError, TimeoutError, ValueError, AttributeError, TypeError):
        return


def _request(settings: LlmSettings, prompt: Prompt) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": settings.model,
        "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if settings.base_url is None or settings.base_url.startswith("https://api.openai.com/"):
        # OpenAI's reasoning models refuse `max_tokens` and any temperature; older servers know no other limit.
        return request | {"max_completion_tokens": settings.max_output_tokens}
    return request | {"max_tokens": settings.max_output_tokens, "temperature": 0}


def _estimated(prompt: Prompt, text: str) -> Usage:
    return Usage(
        prompt_tokens=count_tokens(prompt.system) + count_tokens(prompt.user),
        completion_tokens=count_tokens(text),
        estimated=True,
    )


def _explain(error: openai.OpenAIError | TimeoutError) -> str:
    """A message for the caller. Never the error's own: it may hold the provider's body, a URL, or a part of the key."""
    match error:
        case TimeoutError():
            return "the language model did not finish in time"
        case openai.APITimeoutError():
            return "the language model did not respond in time"
        case openai.APIConnectionError():
            return "the connection to the language model failed"
        case openai.APIStatusError(status_code=401 | 403 as status):
            return f"the language model's server refused our credentials (HTTP {status})"
        case openai.RateLimitError():
            return "the language model is overloaded (HTTP 429)"
        case openai.BadRequestError() if _CONTEXT_CODES & {error.code, error.type}:
            return "the question and its passages are too long for the language model"
        case openai.APIStatusError():
            return f"the language model's server answered with HTTP {error.status_code}"
    return "the language model's server reported an error"
