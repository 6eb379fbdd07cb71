"""The way from a question to passages. Reads from top to bottom; `retrieval/answering.py` goes on from there.

check the filter → embed ∥ search by words → search by meaning → fuse → arrange → rerank → join neighbours → surround

No connection is held while a model runs, and every read is made as the caller.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from retrieval.domain import Degradation, Question, Retrieval, Surroundings
from retrieval.engine import Engine
from retrieval.errors import EmbedderUnavailable, IndexMismatch, InvalidQuestion, RerankerUnavailable
from retrieval.generation.packing import count_tokens, passage_tokens
from retrieval.models.protocols import Vectors
from retrieval.search.arranging import arrange
from retrieval.search.explaining import explained
from retrieval.search.explanation import Explanation, Trace
from retrieval.search.filtering import narrow
from retrieval.search.fusion import FusedPassage, confidence, fuse
from retrieval.search.legs import DenseFindings, dense_leg, lexical_leg
from retrieval.search.narrowing import Narrowing
from retrieval.search.neighbours import MOST_JOINED, join_neighbours
from retrieval.search.phrases import quoted
from retrieval.search.reranking import numbered, rerank
from retrieval.search.surroundings import with_surroundings
from retrieval.search.whereabouts import whereabouts
from retrieval.serving import Missing
from retrieval.timing import Stopwatch

MAX_QUESTION_CHARS = 2000
"""Longer than any question; the bound keeps a pasted file from becoming one."""

_Fused = tuple[FusedPassage, ...]


async def retrieve(engine: Engine, question: Question) -> Retrieval:
    """The passages that answer best among those the caller may see, best first, at most `question.limit`.

    Parts that fail are worked around and named in `degraded`. Raises `InvalidQuestion`, `InvalidFilter`, `Overloaded`,
    `StoreUnavailable`, `GenerationChanged` and `IndexMismatch`.
    """
    check_question(question.text)
    async with engine.admission.turn(question.caller.tenant):
        return (await _search(await engine.pinned(), question, whole=False)).retrieval


async def _search(engine: Engine, question: Question, *, whole: bool) -> Trace:
    """`whole`: with every candidate in its trace, not only those that the passages are made of. They are the same."""
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
            engine.shadows.offer(caller, embedding, dense, narrowing, store.generation_id)
    hits = dense.hits if dense else ()
    fuse_to = partial(fuse, store, caller, embedding, hits, lexical, settings.dense_weight, narrowing)
    fused, arranged = await watch.timed("fuse", _fuse, engine, question, fuse_to, whole=whole)
    ranked = await watch.timed("rerank", _rerank, engine, question, arranged, degraded)
    joined = await watch.timed("join", join_neighbours, store, caller, ranked, question.limit)
    if question.surroundings is not Surroundings.NONE:
        joined = await watch.timed("surround", _surround, engine, question, joined, narrowing)
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
        engine = await engine.pinned()
        trace = await _search(engine, question, whole=True)
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
    generation = await engine.generation()
    if generation is None:
        return None
    try:
        embedding = await engine.embedder.embed_question(question.text)
    except EmbedderUnavailable:
        degraded.append(Degradation.EMBEDDER_UNAVAILABLE)
        return None
    if len(embedding) != generation.dimensions:
        raise IndexMismatch(
            f"the embedder now gives {len(embedding)} dimensions, the index has {generation.dimensions}"
        )
    return embedding


async def _fuse(
    engine: Engine, question: Question, fuse_to: Callable[[int | None], Awaitable[_Fused]], *, whole: bool
) -> tuple[_Fused, _Fused]:
    """The best candidates in fused order; and arranged, quotations first and copies last: what is re-read must not be
    copies only.

    As many as the passages can be made of. All, where so many of these are copies that more are needed, and where any
    may hold a quotation.
    """
    quotations, wanted = quoted(question.text), _wanted(question)
    if engine.reranker is not None:
        wanted = max(wanted, engine.settings.reranker.top_n)
    depth = None if whole or quotations else max(MOST_JOINED * question.limit, 2 * wanted)
    fused = await fuse_to(depth)
    arranged = arrange(fused, quotations, wanted)
    if len(fused) == depth and arranged.distinct < wanted:
        fused = await fuse_to(None)
        arranged = arrange(fused, quotations, wanted)
    return fused, arranged.passages


async def _rerank(engine: Engine, question: Question, arranged: _Fused, degraded: list[Degradation]) -> _Fused:
    """The reranker's order; the fused one where none is configured, or, declared, where it gave way or was late."""
    if engine.reranker is None or not arranged:
        return arranged
    if isinstance(engine.reranker, Missing):
        degraded.append(Degradation.RERANKER_UNAVAILABLE)
        return arranged
    try:
        reranked = await rerank(engine.reranker, question.text, arranged, engine.settings.reranker)
    except RerankerUnavailable:
        degraded.append(Degradation.RERANKER_UNAVAILABLE)
        return arranged
    if reranked.partial:
        degraded.append(Degradation.RERANKER_PARTIAL)
    return arrange(reranked.passages, quoted(question.text), _wanted(question)).passages


async def _surround(engine: Engine, question: Question, joined: _Fused, narrowing: Narrowing) -> _Fused:
    """The passages with what stands around them, as far as an LLM is given that besides all of them."""
    taken = sum(passage_tokens(ranked, count_tokens) for ranked in numbered(joined))
    room = engine.settings.llm.max_context_tokens - taken
    wanted = question.surroundings
    return await with_surroundings(engine.store, question.caller, joined, wanted, narrowing, room, count_tokens)


def _wanted(question: Question) -> int:
    """How many passages must differ: neighbours that are joined take one place."""
    return 2 * question.limit


def check_question(text: str) -> None:
    """Raises `InvalidQuestion` for what cannot be asked."""
    if not text.strip():
        raise InvalidQuestion("the question is empty")
    if len(text) > MAX_QUESTION_CHARS:
        raise InvalidQuestion(f"the question is longer than {MAX_QUESTION_CHARS} characters")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidQuestion("the question holds characters that are not text")
