"""Local embedders by sentence-transformers, the default among them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, cast

import numpy as np

from retrieval.errors import EmbedderUnavailable
from retrieval.models import minilm
from retrieval.models.backends import Backend, choose_backend
from retrieval.models.batching import CHARACTERS_AT_ONCE, Batcher, length
from retrieval.models.protocols import TokenVectors, Vectors
from retrieval.models.threads import model_thread
from retrieval.models.tokens import telling_tokens, token_vectors
from retrieval.models.weights import identity, quiet_loading
from retrieval.settings import EmbedderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

_SENTENCES_AT_ONCE = 32
"""All that one answer asks for, and few tokens each."""


class SentenceTransformerEmbedder:
    """An `Embedder` and `TokenEmbedder` that runs in this process.

    Documents, passages and questions each have a thread, so that no question waits behind documents. Callers who wait
    share batches; one that waits too long gives up, and what was not begun for it is dropped. `backend` says what
    computes.
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        """Loads the model. Raises `EmbedderUnavailable` when there is none by that name."""
        model = _load(settings)
        default = settings.model == "minilm"
        self.name = minilm.NAME if default else identity(settings.model)
        self.dimensions = model.get_embedding_dimension() or 0
        self.max_tokens = int(model.max_seq_length or 512)
        self._settings = settings
        self._counter, self._one_count = deepcopy(model.tokenizer), Lock()
        self._says_something = telling_tokens(model.tokenizer)
        models = choose_backend(model, settings.backend)
        self.backend = models.name
        self._models = models
        self._documents = model_thread("embedder-documents", models.threads)
        self._passages = model_thread("embedder-passages", models.threads)
        self._questions = model_thread("embedder-questions", 1)
        self._share_batches(models)

    def _share_batches(self, models: Backend) -> None:
        closed = partial(EmbedderUnavailable, "the embedding model is closed")
        ask, read = partial(self._encode, models.questions), partial(self._encode, models.passages)
        ask_tokens = partial(self._encode_tokens, models.questions)
        read_tokens = partial(self._encode_tokens, models.passages)
        at_once = self._settings.batch_size
        self._asked = Batcher[str, Vectors](ask, self._questions, at_once, closed=closed)
        self._asked_tokens = Batcher(ask_tokens, self._questions, at_once, closed=closed)
        self._read = Batcher[str, Vectors](read, self._passages, _SENTENCES_AT_ONCE, closed=closed)
        self._read_tokens = Batcher(read_tokens, self._passages, CHARACTERS_AT_ONCE, closed=closed, weigh=length)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        with self._one_count:
            tokenized = self._counter(list(texts), truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in tokenized["input_ids"]]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        vectors: Vectors = self._documents.submit(self._encode, self._models.documents, texts).result()
        return vectors

    async def embed_question(self, text: str) -> Vectors:
        question: Vectors = (await self._in_time(self._asked, [text]))[0]
        return question

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return await self._in_time(self._read, texts)

    async def embed_question_tokens(self, text: str, seconds: float) -> TokenVectors | None:
        return (await self._asked_tokens.run([text], seconds))[0]

    async def embed_tokens(
        self, texts: Sequence[str], seconds: float, keep: Callable[[str, TokenVectors], None] | None = None
    ) -> list[TokenVectors | None]:
        return await self._read_tokens.run(texts, seconds, keep)

    async def ping(self) -> None:
        await self.embed_question("ready")

    async def close(self) -> None:
        """Lets the model's threads end; whoever waits for them hears so at once."""
        for batcher in (self._asked, self._asked_tokens, self._read, self._read_tokens):
            batcher.close()
        for thread in (self._documents, self._passages, self._questions):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _in_time(self, batcher: Batcher[str, Vectors], texts: Sequence[str]) -> Vectors:
        found = [vector for vector in await batcher.run(texts, self._settings.timeout) if vector is not None]
        if len(found) < len(texts):
            raise EmbedderUnavailable("the embedding model did not answer in time")
        return np.stack(found) if found else np.empty((0, self.dimensions), dtype=np.float32)

    def _encode(self, model: "SentenceTransformer", texts: Sequence[str]) -> Vectors:
        """Batched by length, which sentence-transformers does."""
        try:
            vectors = model.encode(
                list(texts), batch_size=self._settings.batch_size, normalize_embeddings=True, show_progress_bar=False
            )
        except Exception as error:
            raise EmbedderUnavailable(f"the embedding model failed: {error}") from error
        found = np.asarray(vectors, dtype=np.float32)
        if not np.isfinite(found).all():
            raise EmbedderUnavailable("the embedding model gave a vector with no direction (NaN)")
        return found

    def _encode_tokens(self, model: "SentenceTransformer", texts: Sequence[str]) -> list[TokenVectors]:
        try:
            found = model.encode(list(texts), batch_size=len(texts), output_value=None, show_progress_bar=False)
            tokens = [token_vectors(row, self._says_something) for row in cast("list[dict[str, Tensor]]", found)]
        except Exception as error:
            raise EmbedderUnavailable(f"the embedding model failed: {error}") from error
        if not all(np.isfinite(each.vectors).all() for each in tokens):
            raise EmbedderUnavailable("the embedding model gave a vector with no direction (NaN)")
        return tokens


def _load(settings: EmbedderSettings) -> "SentenceTransformer":
    quiet_loading()
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(str(minilm.minilm_path()) if settings.model == "minilm" else settings.model)
    except EmbedderUnavailable:
        raise
    except Exception as error:
        raise EmbedderUnavailable(f"the embedding model {settings.model!r} could not be loaded: {error}") from error
