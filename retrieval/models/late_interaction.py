"""A reranker without weights of its own: late interaction over the embedder's token vectors (as in ColBERT, untrained).

score = the mean, over the question's tokens, of the largest cosine with one of the passage's tokens. All tokens count
alike: weighing them by idf changed nothing on the development sets that one could tell from luck (DECISIONS.md).
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from retrieval.errors import EmbedderUnavailable, RerankerUnavailable
from retrieval.models.passage_cache import PassageCache
from retrieval.models.protocols import TokenEmbedder, TokenVectors, Vectors
from retrieval.settings import RerankerSettings

NAME = "late-interaction"


class LateInteractionReranker:
    """A `Reranker` over a local embedder. Passages met before are not embedded again while they are in the cache.

    What is embedded too late for the search that asked is in the cache for the next one.
    """

    def __init__(self, embedder: TokenEmbedder, settings: RerankerSettings) -> None:
        self.name = NAME
        self._embedder = embedder
        self._budget = settings.budget
        self._cache = PassageCache(settings.cache_mb * 1024 * 1024)

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        if not passages:
            return []
        held = self._cache.among(passages)
        missing = [passage for passage in dict.fromkeys(passages) if passage not in held]
        try:
            asked, embedded = await asyncio.gather(
                self._embedder.embed_question_tokens(question, self._budget),
                self._embedder.embed_tokens(missing, self._budget, keep=self._cache.put),
            )
        except EmbedderUnavailable as error:
            raise RerankerUnavailable(str(error)) from error
        held |= {passage: found for passage, found in zip(missing, embedded, strict=True) if found is not None}
        if asked is None or not held:
            raise RerankerUnavailable("the reranker scored nothing in time")
        scores = await asyncio.to_thread(_scores, asked, held)
        return [scores.get(passage) for passage in passages]

    async def ping(self) -> None:
        await self.score("ready", ["ready"])

    async def close(self) -> None:
        """Holds nothing: the embedder is closed by whoever opened it."""


def _scores(asked: TokenVectors, passages: Mapping[str, TokenVectors]) -> dict[str, float]:
    question = asked.vectors.astype(np.float32)
    return {passage: _mean_max_cosine(question, found) for passage, found in passages.items()}


def _mean_max_cosine(question: Vectors, found: TokenVectors) -> float:
    """0 where one of them has no token that says something."""
    if not len(question) or not len(found.ids):
        return 0.0
    return float((question @ found.vectors.T.astype(np.float32)).max(axis=1).mean())
