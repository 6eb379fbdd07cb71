"""What the paths ask of a model. Fakes and real models pass one contract suite (tests/contract)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns text into unit vectors that can be compared by inner product."""

    @property
    def name(self) -> str:
        """Model identity, stable across machines; written into the index profile and compared at start."""

    @property
    def dimensions(self) -> int:
        """Length of each vector."""

    @property
    def max_tokens(self) -> int:
        """Longest input in the model's own tokens, special tokens included; longer text would be cut off."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the model's own tokenizer, special tokens included, never truncated."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (len(texts), dimensions). Blocks.

        Raises `EmbedderUnavailable`, and `UnreadableDocument` when it is one of the texts that cannot be embedded.
        """

    async def embed_question(self, text: str) -> Vectors:
        """One unit vector, shape (dimensions,). Raises `EmbedderUnavailable`, also past its deadline."""

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        """What `embed_documents` gives, while a caller waits: a few short texts, no longer than a question may take.

        Raises `EmbedderUnavailable`, also past that deadline.
        """

    async def ping(self) -> None:
        """Returns when the model could answer now. Raises `EmbedderUnavailable`."""

    async def close(self) -> None:
        """Lets go of threads and connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVectors:
    """A text's tokens, special ones and punctuation left out: their ids in the vocabulary and a unit vector each."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float16]


@runtime_checkable
class TokenEmbedder(Protocol):
    """What an embedder may be able to do besides: the vectors of a text's single tokens, in their context."""

    async def embed_question_tokens(self, text: str, seconds: float) -> TokenVectors | None:
        """A question's tokens, waiting behind no passages; None when the time did not reach it.

        Raises `EmbedderUnavailable` when the model fails.
        """

    async def embed_tokens(
        self, texts: Sequence[str], seconds: float, keep: Callable[[str, TokenVectors], None] | None = None
    ) -> list[TokenVectors | None]:
        """Each text's tokens, the first texts first; None for what the time did not reach.

        `keep` gets the tokens of each text that was begun, on another thread, also when they come too late.
        Raises `EmbedderUnavailable` when the model fails.
        """


class Reranker(Protocol):
    """Reads the question and a passage together and says how well they fit."""

    @property
    def name(self) -> str:
        """Model identity, for explanations."""

    async def score(self, question: str, passages: Sequence[str]) -> Sequence[float | None]:
        """One score per passage, higher is better, any scale; None for what its time budget did not reach.

        Passages come best first and are read in that order. Raises `RerankerUnavailable`, also when it reached none.
        """

    async def ping(self) -> None:
        """Returns when the model could answer now. Raises `RerankerUnavailable`."""

    async def close(self) -> None:
        """Lets go of threads and connections."""
