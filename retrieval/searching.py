"""The way from a question to passages. Reads from top to bottom; `retrieval/answering.py` goes on from there.

check the filter → embed ∥ search by words → search by meaning → fuse → arrange → rerank → join neighbours

No connection is held while a model runs, and every read is made as the caller.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from retrieval.domain import Degradation, Question, Retrieval
from retrieval.engine import Engine, Missing
from retrieval.errors import EmbedderUnavailable, IndexMismatch, InvalidQuestion, RerankerUnavailable
from retrieval.models.protocols import Vectors
from retrieval.search.arranging import arrange
from retrieval.search.explaining import explained
from retrieval.search.explanation import Explanation, Trace
from retrieval.search.filtering import narrow
from retrieval.search.fusion import FusedPassage, confidence, fuse
from retrieval.search.legs import DenseFindings, dense_leg, lexical_leg
from retrieval.search.neighbours import join_neighbours
from retrieval.search.phrases import quoted
from retrieval.search.reranking import numbered, rerank
from retrieval.search.whereabouts import whereabouts
from retrieval.timing import Stopwatch

MAX_QUESTION_CHARS = 2000
"""Longer than any question; the bound keeps a pasted file from becoming one."""


async def retrieve(engine: Engine, question: Question) -> Retrieval:
    """The passages that answer best among those the caller may see, best first, at most `question.limit`.

    Parts that fail are worked around and named in `degraded`. Raises `InvalidQuestion`, `InvalidFilter`, `Overloaded`,
    `StoreUnavailable` and `IndexMismatch`.
    """
    check_question(question.text)
    async with engine.admission.turn(question.caller.tenant):
        return (await _search(engine, question)).retrieval


async def _search(engine: Engine, question: Question) -> Trace:
    watch, degraded = Stopwatch(), list[Degradation]()
    store, caller, settings = engine.store, question.caller, engine.settings.search
    narrowing = await narrow(store, caller, question.filter)
    embedding, lexical = await asyncio.gather(
        watch.timed("embed", _embed, engine, question, degraded),
        watch.timed("lexical", lexical_leg, store, caller, question.text, settings, narrowing),
    )
    dense: DenseFindings | None = None
    if embedding is not None:
        dense = await watch.timed("dense", dense_leg, store, caller, embedding, settings, narrowing)
        if engine.shadows is not None:
            engine.shadows.offer(caller, embedding, dense, narrowing)
    hits = dense.hits if dense else ()
    fused = await watch.timed("fuse", fuse, store, caller, embedding, hits, lexical, settings.dense_weight, narrowing)
    ranked = await watch.timed("rerank", _rerank, engine, question, fused, degraded)
    joined = await watch.timed("join", join_neighbours, store, caller, ranked, question.limit)
    retrieval = Retrieval(
        passages=numbered(joined),
        confidence=confidence(fused, embedding, settings.dense_weight),
        degraded=tuple(degraded),
        timings_ms=watch.milliseconds(),
        embedding=embedding,
        plan=dense.plan if dense else None,
    )
    engine.telemetry.searched(retrieval, lexical.postings)
    return Trace(
        retrieval=retrieval, narrowing=narrowing, dense=dense, lexical=lexical, fused=tuple(fused), ranked=tuple(ranked)
    )


async def explain(
    engine: Engine, question: Question, named: str | None = None, *, any_document: bool = False
) -> Explanation:
    """A search like any other, and how it came about; of a document named by uri or id, why it was or was not found.

    Its exact scores tell how common words are in all of the tenant's documents: for operators. `any_document`: that a
    document exists which the caller may not see is told as well. Raises like `retrieve()`.
    """
    check_question(question.text)
    async with engine.admission.turn(question.caller.tenant):
        trace = await _search(engine, question)
        explanation = await explained(engine.store, question, trace, engine.settings.search)
        if named is None:
            return explanation
        document = await whereabouts(
            engine.store, question, named, trace, engine.settings.search, any_document=any_document
        )
        return replace(explanation, document=document)


async def _embed(engine: Engine, question: Question, degraded: list[Degradation]) -> Vectors | None:
    """The question's vector; None, and a degradation, when the embedder gave way or the index is still empty."""
    if isinstance(engine.embedder, Missing):
        degraded.append(Degradation.EMBEDDER_UNAVAILABLE)
        return None
    profile = await engine.profile()
    if profile is None:
        return None
    try:
        embedding = await engine.embedder.embed_question(question.text)
    except EmbedderUnavailable:
        degraded.append(Degradation.EMBEDDER_UNAVAILABLE)
        return None
    if len(embedding) != profile.dimensions:
        raise IndexMismatch(f"the embedder now gives {len(embedding)} dimensions, the index has {profile.dimensions}")
    return embedding


async def _rerank(
    engine: Engine, question: Question, fused: Sequence[FusedPassage], degraded: list[Degradation]
) -> Sequence[FusedPassage]:
    """The reranker's order; the fused one where none is configured, or, declared, where it gave way or was late.

    Either way quotations go first and copies last: what is re-read must not be copies only.
    """
    quotations, wanted = quoted(question.text), 2 * question.limit  # neighbours that are joined take one place
    if engine.reranker is None or not fused:
        return arrange(fused, quotations, wanted)
    settings = engine.settings.reranker
    arranged = arrange(fused, quotations, max(wanted, settings.top_n))
    if isinstance(engine.reranker, Missing):
        degraded.append(Degradation.RERANKER_UNAVAILABLE)
        return arranged
    try:
        reranked = await rerank(engine.reranker, question.text, arranged, settings)
    except RerankerUnavailable:
        degraded.append(Degradation.RERANKER_UNAVAILABLE)
        return arranged
    if reranked.partial:
        degraded.append(Degradation.RERANKER_PARTIAL)
    return arrange(reranked.passages, quotations, wanted)


def check_question(text: str) -> None:
    """Raises `InvalidQuestion` for what cannot be asked."""
    if not text.strip():
        raise InvalidQuestion("the question is empty")
    if len(text) > MAX_QUESTION_CHARS:
        raise InvalidQuestion(f"the question is longer than {MAX_QUESTION_CHARS} characters")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidQuestion("the question holds characters that are not text")
