"""Any OpenAI-compatible embeddings API."""

import asyncio
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import openai
import structlog
import tiktoken

from retrieval.errors import EmbedderUnavailable, UnreadableDocument
from retrieval.models.protocols import Vectors
from retrieval.settings import BreakerSettings, EmbedderSettings
from retrieval.upstream.breaker import Breaker
from retrieval.upstream.faults import Broken, Fault
from retrieval.upstream.openai_faults import FAILURES, NOT_THE_PROTOCOL, fault_of
from retrieval.upstream.retry_after import retry_after

_log = structlog.get_logger(__name__)
# A bulk load waits for a slow or rate-limited provider (the client honours Retry-After); a question does not.
_INGEST_TIMEOUT = 60.0
_INGEST_RETRIES = 8
_SERVER = "the embedding provider"


class OpenAiEmbedder:
    """An `Embedder` behind HTTP. `dimensions` is asked of the provider once, by embedding one word.

    A provider that fails questions is left alone for a while; a bulk load waits for it instead.
    """

    def __init__(self, settings: EmbedderSettings, breaker: BreakerSettings | None = None) -> None:
        self._breaker = Breaker("the embedder", breaker or BreakerSettings())
        self.name = settings.model
        self.max_tokens = settings.max_tokens
        self._settings = settings
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self._client = openai.OpenAI(
            api_key=key, base_url=settings.base_url, timeout=_INGEST_TIMEOUT, max_retries=_INGEST_RETRIES
        )
        self._questions = openai.AsyncOpenAI(
            api_key=key, base_url=settings.base_url, timeout=settings.timeout, max_retries=1
        )

    @cached_property
    def dimensions(self) -> int:
        return int(self.embed_documents(["dimensions"]).shape[1])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        if self._encoding is None:
            # No word piece of a common tokenizer is shorter than a byte; two bytes each is already pessimistic.
            return [len(text.encode()) // 2 + 1 for text in texts]
        return [len(tokens) for tokens in self._encoding.encode_batch(list(texts), disallowed_special=())]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        batches = [
            self._embed_batch(list(texts[start : start + self._settings.batch_size]))
            for start in range(0, len(texts), self._settings.batch_size)
        ]
        return np.concatenate(batches) if batches else np.empty((0, 0), dtype=np.float32)

    async def embed_question(self, text: str) -> Vectors:
        question: Vectors = (await self.embed_now([text]))[0]
        return question

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        try:
            with self._breaker.call():
                return await self._asked(list(texts))
        except Fault as fault:
            raise EmbedderUnavailable(str(fault)) from fault

    async def ping(self) -> None:
        try:
            # Listing the models costs nothing; an embedding would be billed at every probe.
            await self._questions.with_options(max_retries=0).models.with_raw_response.list()
        except openai.NotFoundError:
            return  # a server for embeddings alone; it answered
        except openai.OpenAIError as error:
            raise EmbedderUnavailable("the embedding provider did not answer") from error

    async def close(self) -> None:
        """Closes both clients."""
        self._client.close()
        await self._questions.close()

    async def _asked(self, texts: list[str]) -> Vectors:
        ask = self._questions.embeddings
        try:
            async with asyncio.timeout(self._settings.timeout):
                answer = await ask.create(model=self.name, input=texts, encoding_format="float")
            return _unit_vectors(answer.data, len(texts))
        except EmbedderUnavailable as error:
            raise Broken(str(error)) from error
        except FAILURES as error:
            raise fault_of(error, _SERVER) from error

    def _embed_batch(self, texts: list[str]) -> Vectors:
        try:
            answer = self._client.embeddings.create(model=self.name, input=texts, encoding_format="float")
            return _unit_vectors(answer.data, len(texts))
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise UnreadableDocument("refused_by_embedder", "the embedding provider refused the text") from error
        except openai.APIStatusError as error:
            seconds = retry_after(error.response.headers)
            raise EmbedderUnavailable(f"the embedding provider failed: {type(error).__name__}", seconds) from error
        except openai.OpenAIError as error:
            raise EmbedderUnavailable(f"the embedding provider failed: {type(error).__name__}") from error
        except NOT_THE_PROTOCOL as error:
            raise EmbedderUnavailable("the embedding provider does not speak the OpenAI protocol") from error

    @cached_property
    def _encoding(self) -> tiktoken.Encoding | None:
        try:
            return tiktoken.get_encoding(self._settings.tokenizer)
        except (OSError, ValueError) as error:
            # tiktoken fetches its tables on first use; without a network, chunks are measured pessimistically.
            _log.warning("tokenizer_unavailable", tokenizer=self._settings.tokenizer, error=str(error))
            return None


def _unit_vectors(data: Sequence[openai.types.Embedding], expected: int) -> Vectors:
    vectors = np.asarray([item.embedding for item in sorted(data, key=lambda item: item.index)], dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
    if vectors.ndim != 2 or len(vectors) != expected or not np.isfinite(vectors).all() or (norms == 0).any():
        raise EmbedderUnavailable("the embedding provider's answer is not one vector per text")
    return np.asarray(vectors / norms, dtype=np.float32)
