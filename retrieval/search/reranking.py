"""The last word on the order: a reranker re-reads the best passages, its score mixed with the fused one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrieval.domain import RankedPassage
from retrieval.models.protocols import Reranker
from retrieval.search.fusion import FusedPassage
from retrieval.settings import RerankerSettings


async def rerank(
    reranker: Reranker, question: str, fused: Sequence[FusedPassage], settings: RerankerSettings
) -> tuple[FusedPassage, ...]:
    """The first `top_n` in the order of z(fused) + weight · z(reranker), the rest behind them as they were.

    z-scores, because a cross-encoder's scale is its own. Raises `RerankerUnavailable`.
    """
    head, tail = fused[: settings.top_n], fused[settings.top_n :]
    scores = await reranker.score(question, [f"{found.context}\n{found.passage.text}" for found in head])
    mixed = _z([found.candidate.score for found in head]) + settings.weight * _z(scores)
    order = sorted(range(len(head)), key=lambda at: (-mixed[at], head[at].candidate.key))
    return (*(replace(head[at], rerank_score=float(mixed[at])) for at in order), *tail)


def numbered(found: Sequence[FusedPassage]) -> tuple[RankedPassage, ...]:
    """Passages at their final places, numbered from 1."""
    return tuple(
        RankedPassage(
            number=number,
            passage=each.passage,
            candidate=each.candidate,
            rerank_score=each.rerank_score,
            duplicates=each.duplicates,
        )
        for number, each in enumerate(found, start=1)
    )


def _z(scores: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    spread = values.std()
    return np.zeros_like(values) if spread == 0 else (values - values.mean()) / spread
