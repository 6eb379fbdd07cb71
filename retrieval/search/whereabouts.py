"""Why a named document is, or is not, among the passages.

The ranks are the legs' own: each is asked for far more than a search takes, and the document looked for in that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pgvector import HalfVector

from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.domain import LexicalPath, Question
from retrieval.search.explaining import spelled
from retrieval.search.explanation import (
    CandidateExplained,
    DocumentExplained,
    LegReason,
    LegStanding,
    Trace,
    Verdict,
)
from retrieval.search.legs import Hit, lexical_leg, nearest_exactly
from retrieval.search.terms import Lookup
from retrieval.settings import SearchSettings

RANKS_TOLD = 10_000
"""The lowest rank that is counted."""
CHUNKS_COMPARED = 200_000
"""Visible chunks up to which all are compared to tell a rank: some tenths of a second."""

_NAMED = tenant_statement("retrieval.search", "named_document")
_CHUNKS = tenant_statement("retrieval.search", "document_chunks")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    document_id: UUID
    uri: str
    visible: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    ordinal: int
    cosine: float
    bm25: float
    term_keys: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sought:
    """A visible document's chunks, at least one, and the search they are looked for in."""

    document_id: UUID
    chunks: list[_Chunk]
    question: Question
    trace: Trace
    words: Mapping[int, str]


async def whereabouts(
    store: Store, question: Question, named: str, trace: Trace, settings: SearchSettings, *, any_document: bool
) -> DocumentExplained:
    """What became of the document with this uri or id in the search that left this trace.

    `any_document`: one that the asker may not see is told from one that is not there. Raises `StoreUnavailable`.
    """
    async with store.session(question.caller) as session:
        found = await session.rows(_Named, _NAMED, named=named, document_id=_id(named), any_document=any_document)
        if not found or not found[0].visible:
            return DocumentExplained(named=named, verdict=Verdict.NOT_VISIBLE if found else Verdict.NOT_FOUND)
        sought = await _sought(session, question, trace, found[0].document_id)
    if not sought.chunks:
        verdict = Verdict.FILTERED if trace.narrowing.narrows else Verdict.NOT_PROPOSED
        return DocumentExplained(named=named, verdict=verdict)
    candidates = tuple(each for each in trace.candidates() if each.candidate.key.document_id == sought.document_id)
    return DocumentExplained(
        named=named,
        verdict=_verdict(sought, candidates),
        dense=await _dense(store, sought, settings),
        lexical=await _lexical(store, sought, settings),
        candidates=candidates,
    )


async def _sought(session: CallerSession, question: Question, trace: Trace, document_id: UUID) -> _Sought:
    embedding, terms = trace.retrieval.embedding, trace.lexical.terms
    chunks = await session.rows(
        _Chunk,
        _CHUNKS,
        document_id=document_id,
        embedding=None if embedding is None else HalfVector(embedding),
        question_weights=terms.weights,
        term_keys=[term.term_key for term in terms.terms],
        **trace.narrowing.parameters,
    )
    words = await spelled(session, question.text)
    return _Sought(document_id=document_id, chunks=chunks, question=question, trace=trace, words=words)


def _verdict(sought: _Sought, candidates: Sequence[CandidateExplained]) -> Verdict:
    passages = sought.trace.retrieval.passages
    if not candidates:
        return Verdict.NOT_PROPOSED
    if any(ranked.passage.key.document_id == sought.document_id for ranked in passages):
        return Verdict.FOUND
    if any(sought.document_id in ranked.duplicates for ranked in passages):
        return Verdict.SAYS_THE_SAME
    fused_within = any(found.fused_place <= sought.question.limit for found in candidates)
    return Verdict.CUT_BY_RERANKER if fused_within else Verdict.CUT_BY_LIMIT


async def _dense(store: Store, sought: _Sought, settings: SearchSettings) -> LegStanding | None:
    embedding, findings = sought.trace.retrieval.embedding, sought.trace.dense
    if embedding is None or findings is None:
        return None
    ranking = findings.hits
    if findings.plan.visible_chunks <= CHUNKS_COMPARED:
        ranking = await nearest_exactly(store, sought.question.caller, embedding, RANKS_TOLD, sought.trace.narrowing)
    best = max(sought.chunks, key=lambda chunk: (chunk.cosine, -chunk.ordinal))
    rank = _rank(ranking, sought.document_id)
    reason = LegReason.BELOW_CANDIDATES
    if _rank(findings.hits, sought.document_id):
        reason = LegReason.PROPOSED
    elif rank is not None and rank <= settings.candidates:
        reason = LegReason.MISSED_BY_WALK
    return LegStanding(ordinal=best.ordinal, score=best.cosine, rank=rank, reason=reason)


async def _lexical(store: Store, sought: _Sought, settings: SearchSettings) -> LegStanding:
    wide = settings.model_copy(update={"candidates": RANKS_TOLD})
    ranking = (
        await lexical_leg(store, sought.question.caller, sought.question.text, wide, sought.trace.narrowing)
    ).hits
    rank = _rank(ranking, sought.document_id)
    best = max(sought.chunks, key=lambda chunk: (chunk.bm25, -chunk.ordinal))
    if rank is not None:  # its best candidate, which may not be its best chunk
        best = next((chunk for chunk in sought.chunks if chunk.ordinal == ranking[rank - 1].ordinal), best)
    held = dict.fromkeys(sought.words[key] for key in best.term_keys if key in sought.words)
    return LegStanding(
        ordinal=best.ordinal, score=best.bm25, rank=rank, reason=_lexical_reason(sought, rank), words=tuple(held)
    )


def _lexical_reason(sought: _Sought, rank: int | None) -> LegReason:
    lookups = sought.trace.lexical.lookups
    if _rank(sought.trace.lexical.hits, sought.document_id):
        return LegReason.PROPOSED
    held = {key for chunk in sought.chunks for key in chunk.term_keys}
    if not held:
        return LegReason.NO_WORD
    every_one_was_read = sought.trace.lexical.path is LexicalPath.VISIBLE
    if rank or every_one_was_read or any(_finds(lookup, chunk) for lookup in lookups for chunk in sought.chunks):
        return LegReason.BELOW_CANDIDATES
    halved = any(lookup.all_of_them and not held.isdisjoint(lookup.term_keys) for lookup in lookups)
    return LegReason.NOT_ALL_WORDS if halved else LegReason.NO_WORD_LOOKED_UP


def _finds(lookup: Lookup, chunk: _Chunk) -> bool:
    return (all if lookup.all_of_them else any)(key in chunk.term_keys for key in lookup.term_keys)


def _rank(ranking: Sequence[Hit], document_id: UUID) -> int | None:
    """The rank, from 1, of the document's best chunk."""
    return next((rank for rank, hit in enumerate(ranking, start=1) if hit.document_id == document_id), None)


def _id(named: str) -> UUID | None:
    try:
        return UUID(named)
    except ValueError:
        return None
