"""A reranker without weights of its own: late interaction over the embedder's token vectors (as in ColBERT, untrained).

score = the mean, over the question's tokens, of the largest cosine with one of the passage's tokens. All tokens count
alike: weighing them by idf changed nothing on the development sets that one could tell from luck (DECISIONS.md).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.models.protocols import TokenEmbedder, TokenVectors, Vectors
from retrieval.settings import RerankerSettings

NAME = "late-interaction"


class LateInteractionReranker:
    """A `Reranker` over a local embedder. Passages met before are not embedded again while they are in the cache."""

    def __init__(self, embedder: TokenEmbedder, settings: RerankerSettings) -> None:
        self.name = NAME
        self._embedder = embedder
        self._budget = settings.budget
        self._cache = _PassageCache(settings.cache_mb * 1024 * 1024)

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        if not passages:
            return []
        missing = [passage for passage in dict.fromkeys(passages) if self._cache.get(passage) is None]
        held = {passage: found for passage in passages if (found := self._cache.get(passage)) is not None}
        try:
            asked, *embedded = await self._embedder.embed_tokens([question, *missing], self._budget)
        except EmbedderUnavailable as error:
            raise RerankerUnavailable(str(error)) from error
        for passage, found in zip(missing, embedded, strict=True):
            if found is not None:
                held[passage] = found
                self._cache.put(passage, found)
        if asked is None or not held:
            raise RerankerUnavailable("the reranker scored nothing in time")
        scores = await asyncio.to_thread(_scores, asked, held)
        return [scores.get(passage) for passage in passages]

    async def ping(self) -> None:
        await self.score("ready", ["ready"])

    async def close(self) -> None:
        """Holds nothing: the embedder is closed by whoever opened it."""


class _PassageCache:
    """Token vectors by passage text, the longest unused forgotten first, at most so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[str, TokenVectors] = OrderedDict()

    def get(self, passage: str) -> TokenVectors | None:
        found = self._held.get(passage)
        if found is not None:
            self._held.move_to_end(passage)
        return found

    def put(self, passage: str, found: TokenVectors) -> None:
        self._bytes += _size(found) - (_size(self._held.pop(passage)) if passage in self._held else 0)
        self._held[passage] = found
        while self._bytes > self._most_bytes:
            self._bytes -= _size(self._held.popitem(last=False)[1])


def _size(found: TokenVectors) -> int:
    return found.vectors.nbytes + found.ids.nbytes


def _scores(asked: TokenVectors, passages: Mapping[str, TokenVectors]) -> dict[str, float]:
    question = asked.vectors.astype(np.float32)
    return {passage: _mean_max_cosine(question, found) for passage, found in passages.items()}


def _mean_max_cosine(question: Vectors, found: TokenVectors) -> float:
    """0 where one of them has no token that says something."""
    if not len(question) or not len(found.ids):
        return 0.0
    return float((question @ found.vectors.T.astype(np.float32)).max(axis=1).mean())
