"""Fake models. They pass the same contract suite as the real ones (tests/contract/test_models.py)."""

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from retrieval.errors import EmbedderUnavailable, RerankerUnavailable, UnreadableDocument
from retrieval.models.protocols import TokenVectors, Vectors


class WordEmbedder:
    """Texts with words in common are near each other: each word adds one fixed direction. Can be broken."""

    name = "words-64"
    dimensions = 64
    max_tokens = 64

    def __init__(self) -> None:
        self.broken = False
        self.embedded: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(re.findall(r"\w+|[^\w\s]", text)) + 2 for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.broken:
            raise EmbedderUnavailable("broken on purpose")
        self.embedded.extend(texts)
        vectors = np.array([self._embed(text) for text in texts], dtype=np.float32)
        return vectors.reshape(len(texts), self.dimensions)

    async def embed_question(self, text: str) -> Vectors:
        if self.broken:
            raise EmbedderUnavailable("broken on purpose")
        return self._embed(text)

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    async def ping(self) -> None:
        await self.embed_question("ready")

    async def close(self) -> None:
        """Nothing is held."""

    def _embed(self, text: str) -> Vectors:
        vector = np.full(self.dimensions, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            vector += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimensions)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class TouchyEmbedder(WordEmbedder):
    """Refuses every text with the word `unspeakable`, and breaks at the first with the word `fatal`."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if "unspeakable" in text:
                raise UnreadableDocument("refused_by_embedder", "refused on purpose")
            self.broken |= "fatal" in text
        return super().embed_documents(texts)


class WordTokenEmbedder(WordEmbedder):
    """Gives its words' vectors too, of the first `reach` passages of each call; `late`: of the others afterwards.

    `read` counts the texts.
    """

    def __init__(self, reach: int = 1000, *, late: bool = False) -> None:
        super().__init__()
        self.reach, self.late = reach, late
        self.read: list[str] = []

    async def embed_question_tokens(self, text: str, seconds: float) -> TokenVectors | None:
        return (await self.embed_tokens([text], seconds))[0]

    async def embed_tokens(
        self, texts: Sequence[str], seconds: float, keep: Callable[[str, TokenVectors], None] | None = None
    ) -> list[TokenVectors | None]:
        if self.broken or seconds <= 0:
            raise EmbedderUnavailable("broken on purpose")
        done = [*texts] if self.late else [*texts[: self.reach]]
        self.read += done
        if keep is not None:
            for text in done:
                keep(text, self._tokens(text))
        return [self._tokens(text) if at < self.reach else None for at, text in enumerate(texts)]

    def _tokens(self, text: str) -> TokenVectors:
        words = re.findall(r"\w+", text.lower())
        vectors = np.array([self._embed(word) for word in words]).reshape(len(words), self.dimensions)
        return TokenVectors(
            ids=np.array([zlib.crc32(word.encode()) for word in words]), vectors=vectors.astype(np.float16)
        )


class OverlapReranker:
    """Scores by words in common, the first `reach` passages: slower ones do not get further. Can be broken."""

    name = "overlap"

    def __init__(self, reach: int = 1000) -> None:
        self.broken = False
        self.reach = reach

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        if self.broken:
            raise RerankerUnavailable("broken on purpose")
        asked = set(question.lower().split())
        overlaps = [float(len(asked & set(passage.lower().split()))) for passage in passages]
        return [overlap if at < self.reach else None for at, overlap in enumerate(overlaps)]

    async def ping(self) -> None:
        await self.score("ready", ["ready"])

    async def close(self) -> None:
        """Nothing is held."""
