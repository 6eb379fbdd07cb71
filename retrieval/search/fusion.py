"""From two legs' proposals to one order: *idf-mass* fusion.

score = w · cosine + (1 - w) · BM25 / Σ idf(question). Both parts are bounded and mean the same for every question, so
nothing is rescaled. Each leg weighs by how far its best chunk stands out from its ten best: a leg that cannot tell its
candidates apart has little to say. Against one weight for all questions (.4) that is worth .006 nDCG@10 on the mean of
four sets, and no set loses (`python -m evals.benchmarks.fusion`, DECISIONS.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from pgvector import HalfVector

from retrieval.access import Caller
from retrieval.database.statements import tenant_statement
from retrieval.database.store import Store
from retrieval.domain import Candidate, ChunkKey, Passage
from retrieval.models.protocols import Vectors
from retrieval.search.chunks import StoredChunk
from retrieval.search.legs import Hit, LexicalFindings
from retrieval.search.narrowing import ANYTHING, Narrowing

_PROPOSED = tenant_statement("retrieval.search", "proposed_passages")

EVEN_WEIGHT = 0.4
"""Cosine's weight where a number must mean the same for every question, or no leg's best stands out."""
_STANDING_OUT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedPassage:
    """A passage with the candidate that brought it; `context` is the line it was embedded with.

    `duplicates` are documents that say the same and were moved behind it.
    """

    candidate: Candidate
    passage: Passage
    context: str
    rerank_score: float | None = None
    duplicates: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProposedPassage(StoredChunk):
    context: str
    cosine: float
    bm25: float


async def fuse(
    store: Store,
    caller: Caller,
    embedding: Vectors | None,
    dense: Sequence[Hit],
    lexical: LexicalFindings,
    dense_weight: float | None,
    narrowing: Narrowing = ANYTHING,
) -> tuple[FusedPassage, ...]:
    """All proposals scored by both legs, best first, ties by chunk key. Without an embedding, BM25 alone decides.

    `dense_weight` is cosine's weight; None: by what stands out in this question.
    Reads the passages anew, so one that was revoked, deleted or re-described since its leg ran is not among them.
    Raises `StoreUnavailable`.
    """
    dense_ranks, lexical_ranks = _ranks(dense), _ranks(lexical.hits)
    keys = list(dense_ranks.keys() | lexical_ranks.keys())
    if not keys:
        return ()
    async with store.session(caller) as session:
        rows = await session.rows(
            _ProposedPassage,
            _PROPOSED,
            document_ids=[key.document_id for key in keys],
            ordinals=[key.ordinal for key in keys],
            embedding=None if embedding is None else HalfVector(embedding),
            question_weights=lexical.terms.weights,
            **narrowing.parameters,
        )
    cosines, shares = [max(row.cosine, 0.0) for row in rows], [row.bm25 for row in rows]
    weight = weight_of_cosine(cosines, shares) if dense_weight is None else dense_weight
    if embedding is None:
        weight = 0.0
    fused = [_fused(row, weight, dense_ranks, lexical_ranks) for row in rows]
    return tuple(sorted(fused, key=lambda found: (-found.candidate.score, found.candidate.key)))


def weight_of_cosine(cosines: Sequence[float], shares: Sequence[float]) -> float:
    """How far the best cosine stands out among the ten best, as a share of how far both legs' best do."""
    by_meaning, by_words = _standing_out(cosines), _standing_out(shares)
    return by_meaning / (by_meaning + by_words) if by_meaning + by_words else EVEN_WEIGHT


def confidence(fused: Sequence[FusedPassage], embedding: Vectors | None, dense_weight: float | None) -> float:
    """How well the best passage fits, in [0, 1], at weights that no question changes: a number to refuse on."""
    if not fused:
        return 0.0
    best = fused[0].candidate
    if embedding is None:
        return best.bm25
    weight = EVEN_WEIGHT if dense_weight is None else dense_weight
    return min(_mixed(best.cosine, best.bm25, weight), 1.0)


def _standing_out(scores: Sequence[float]) -> float:
    best = sorted(scores, reverse=True)[:_STANDING_OUT]
    return best[0] - sum(best) / len(best) if best else 0.0


def _mixed(cosine: float, bm25: float, weight: float) -> float:
    return weight * max(cosine, 0.0) + (1 - weight) * bm25


def _ranks(hits: Iterable[Hit]) -> dict[ChunkKey, int]:
    return {hit.key: rank for rank, hit in enumerate(hits, start=1)}


def _fused(
    row: _ProposedPassage, weight: float, dense: dict[ChunkKey, int], lexical: dict[ChunkKey, int]
) -> FusedPassage:
    key = ChunkKey(document_id=row.document_id, ordinal=row.ordinal)
    candidate = Candidate(
        key=key,
        dense_rank=dense.get(key),
        lexical_rank=lexical.get(key),
        cosine=row.cosine,
        bm25=row.bm25,
        score=_mixed(row.cosine, row.bm25, weight),
    )
    return FusedPassage(candidate=candidate, passage=row.passage, context=row.context)
