"""Local models by sentence-transformers: the default embedder, and any cross-encoder as a reranker."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.models import minilm
from retrieval.models.protocols import Vectors
from retrieval.settings import EmbedderSettings, RerankerSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Result = TypeVar("Result")


class SentenceTransformerEmbedder:
    """An `Embedder` that runs in this process.

    Documents queue for one thread and questions for another, so that no question waits behind documents. One that
    waits too long gives up (`EmbedderUnavailable`) while its thread finishes in peace. The threads share the weights,
    which are only read, and nothing else: a tokenizer keeps the settings of the call at hand.
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        """Loads the model. Raises `EmbedderUnavailable` when there is none by that name."""
        _quiet_loading()
        from sentence_transformers import SentenceTransformer

        default = settings.model == "minilm"
        try:
            self._model = SentenceTransformer(str(minilm.minilm_path()) if default else settings.model)
        except EmbedderUnavailable:
            raise
        except Exception as error:
            raise EmbedderUnavailable(f"the embedding model {settings.model!r} could not be loaded: {error}") from error
        self.name = minilm.NAME if default else _identity(settings.model)
        self.dimensions = self._model.get_embedding_dimension() or 0
        self.max_tokens = int(self._model.max_seq_length or 512)
        self._settings = settings
        self._documents = ThreadPoolExecutor(1, thread_name_prefix="embedder-documents")
        self._questions = ThreadPoolExecutor(1, thread_name_prefix="embedder-questions")
        self._asked_model = _twin(self._model)
        self._counter, self._one_count = deepcopy(self._model.tokenizer), Lock()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        with self._one_count:
            tokenized = self._counter(list(texts), truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in tokenized["input_ids"]]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        vectors: Vectors = self._documents.submit(self._encode, self._model, list(texts)).result()
        return vectors

    async def embed_question(self, text: str) -> Vectors:
        question: Vectors = (await self._in_time(self._questions, self._asked_model, [text]))[0]
        return question

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return await self._in_time(self._documents, self._model, list(texts))

    async def ping(self) -> None:
        await self.embed_question("ready")

    async def close(self) -> None:
        """Lets the model's threads end."""
        for thread in (self._documents, self._questions):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _in_time(self, thread: ThreadPoolExecutor, model: "SentenceTransformer", texts: list[str]) -> Vectors:
        try:
            return await _within(self._settings.timeout, thread, lambda: self._encode(model, texts))
        except TimeoutError as error:
            raise EmbedderUnavailable("the embedding model did not answer in time") from error

    def _encode(self, model: "SentenceTransformer", texts: list[str]) -> Vectors:
        try:
            vectors = model.encode(
                texts, batch_size=self._settings.batch_size, normalize_embeddings=True, show_progress_bar=False
            )
        except Exception as error:
            raise EmbedderUnavailable(f"the embedding model failed: {error}") from error
        found = np.asarray(vectors, dtype=np.float32)
        if not np.isfinite(found).all():
            raise EmbedderUnavailable("the embedding model gave a vector with no direction (NaN)")
        return found


class CrossEncoderReranker:
    """A `Reranker`: sentence-transformers' CrossEncoder, by name or path, in a thread of its own."""

    def __init__(self, settings: RerankerSettings) -> None:
        """Loads the model. Raises `RerankerUnavailable` when there is none by that name."""
        _quiet_loading()
        from sentence_transformers import CrossEncoder

        assert settings.model is not None
        try:
            self._model = CrossEncoder(settings.model)
        except Exception as error:
            raise RerankerUnavailable(f"the reranker {settings.model!r} could not be loaded: {error}") from error
        self.name = settings.model
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")

    async def score(self, question: str, passages: Sequence[str]) -> list[float]:
        pairs = [(question, passage) for passage in passages]
        try:
            return await _within(self._settings.timeout, self._thread, lambda: self._predict(pairs))
        except TimeoutError as error:
            raise RerankerUnavailable("the reranker did not answer in time") from error

    async def ping(self) -> None:
        await self.score("ready", ["ready"])

    async def close(self) -> None:
        """Lets the model's thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        try:
            scores = self._model.predict(pairs, show_progress_bar=False)
        except Exception as error:
            raise RerankerUnavailable(f"the reranker failed: {error}") from error
        found = np.asarray(scores, dtype=np.float64).reshape(len(pairs), -1)[:, 0]
        if not np.isfinite(found).all():
            raise RerankerUnavailable("the reranker gave scores that are none (NaN)")
        return [float(score) for score in found]


async def _within(seconds: float, thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """The work's result, or TimeoutError. Work not begun by then is cancelled, so that a backlog cannot grow."""
    return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(thread, work), seconds)


def _twin(model: "SentenceTransformer") -> "SentenceTransformer":
    """A model for another thread: its own tokenizer and state, the same weights."""
    return deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def _identity(model: str) -> str:
    """A model's name; of a folder, its own name and its weights' digest: a path says nothing on another machine."""
    weights = Path(model, "model.safetensors")
    if not weights.is_file():
        return model
    with weights.open("rb") as file:
        return f"{Path(model).resolve().name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def _quiet_loading() -> None:
    """No progress bars and no chatter while weights load; the environment's own wish wins."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
