"""The last word on the order: a reranker re-reads the best passages, its score mixed with the fused one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.domain import RankedPassage
from retrieval.models.protocols import Reranker
from retrieval.search.fusion import FusedPassage
from retrieval.settings import RerankerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranked:
    """Passages in their last order; `partial` when some of those to be scored were not, in time."""

    passages: tuple[FusedPassage, ...]
    partial: bool


async def rerank(
    reranker: Reranker, question: str, fused: Sequence[FusedPassage], settings: RerankerSettings
) -> Reranked:
    """The first `top_n` in the order of z(fused) + weight · z(reranker), the rest behind them as they were.

    z-scores, because a cross-encoder's scale is its own. A passage without a score stays at its very place, and those
    with one share out the places between. Raises `RerankerUnavailable`.
    """
    head, tail = fused[: settings.top_n], fused[settings.top_n :]
    scores = await reranker.score(question, [f"{found.context}\n{found.passage.text}" for found in head])
    scored = [(found, score) for found, score in zip(head, scores, strict=True) if score is not None]
    best_first = iter(_ordered(scored, settings.weight))
    ordered = [found if score is None else next(best_first) for found, score in zip(head, scores, strict=True)]
    return Reranked(passages=(*ordered, *tail), partial=len(scored) < len(head))


def _ordered(scored: Sequence[tuple[FusedPassage, float]], weight: float) -> list[FusedPassage]:
    """By the mixed score, ties by chunk key."""
    mixed = _z([found.candidate.score for found, _ in scored]) + weight * _z([score for _, score in scored])
    found = [replace(each, rerank_score=float(score)) for (each, _), score in zip(scored, mixed, strict=True)]
    return sorted(found, key=lambda each: (-(each.rerank_score or 0.0), each.candidate.key))


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
    """0 for all when they are equal, which their standard deviation does not tell: it has rounding errors."""
    values = np.asarray(scores, dtype=np.float64)
    if not values.size or np.ptp(values) == 0:
        return np.zeros_like(values)
    scaled: NDArray[np.float64] = (values - values.mean()) / values.std()
    return scaled
