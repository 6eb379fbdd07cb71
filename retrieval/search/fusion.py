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

_SCORES = tenant_statement("retrieval.search", "proposed_scores")
_PASSAGES = tenant_statement("retrieval.search", "proposed_passages")

_Ranks = dict[ChunkKey, int]

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
class _Scores:
    """Of some proposals, by their places among them, from 1."""

    places: list[int]
    cosines: list[float]
    shares: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProposedPassage(StoredChunk):
    context: str


async def fuse(
    store: Store,
    caller: Caller,
    embedding: Vectors | None,
    dense: Sequence[Hit],
    lexical: LexicalFindings,
    dense_weight: float | None,
    narrowing: Narrowing = ANYTHING,
    depth: int | None = None,
) -> tuple[FusedPassage, ...]:
    """All proposals scored by both legs, best first, ties by chunk key; of these the first `depth` (None: all), for
    texts are most of what a search reads. Without an embedding, BM25 alone decides.

    `dense_weight` is cosine's weight; None: by what stands out in this question.
    Reads the passages anew, so one that was revoked, deleted or re-described since its leg ran is not among them.
    Raises `StoreUnavailable`.
    """
    ranks = _ranks(dense), _ranks(lexical.hits)
    keys = list(ranks[0] | ranks[1])
    if not keys:
        return ()
    async with store.session(caller) as session:
        [scores] = await session.rows(
            _Scores,
            _SCORES,
            **_named(keys),
            embedding=None if embedding is None else HalfVector(embedding),
            question_weights=lexical.terms.weights,
            **narrowing.parameters,
        )
        weight = 0.0 if embedding is None else dense_weight
        best = _best(keys, scores, ranks, weight, depth)
        rows = await session.rows(
            _ProposedPassage, _PASSAGES, **_named([each.key for each in best]), **narrowing.parameters
        )
    passages = {ChunkKey(document_id=row.document_id, ordinal=row.ordinal): row for row in rows}
    return tuple(_fused(each, passages[each.key]) for each in best if each.key in passages)


def _named(keys: Sequence[ChunkKey]) -> dict[str, object]:
    return {"document_ids": [key.document_id for key in keys], "ordinals": [key.ordinal for key in keys]}


def _best(
    keys: Sequence[ChunkKey], scores: _Scores, ranks: tuple[_Ranks, _Ranks], weight: float | None, depth: int | None
) -> list[Candidate]:
    if weight is None:
        weight = weight_of_cosine([max(cosine, 0.0) for cosine in scores.cosines], scores.shares)
    ordered = sorted(
        (-_mixed(cosine, bm25, weight), keys[place - 1], cosine, bm25)
        for place, cosine, bm25 in zip(scores.places, scores.cosines, scores.shares, strict=True)
    )
    return [
        Candidate(
            key=key,
            dense_rank=ranks[0].get(key),
            lexical_rank=ranks[1].get(key),
            cosine=cosine,
            bm25=bm25,
            score=-negated,
        )
        for negated, key, cosine, bm25 in ordered[:depth]
    ]


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


def _ranks(hits: Iterable[Hit]) -> _Ranks:
    return {hit.key: rank for rank, hit in enumerate(hits, start=1)}


def _fused(candidate: Candidate, row: _ProposedPassage) -> FusedPassage:
    return FusedPassage(candidate=candidate, passage=row.passage, context=row.context)
