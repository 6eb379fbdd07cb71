"""The query path: from a question to passages, and on to a cited answer. Reads from top to bottom.

check the filter → embed ∥ search by words → search by meaning → fuse → arrange → rerank → join neighbours
→ pack → generate → verify citations

No connection is held while a model runs, and every read is made as the caller.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import structlog

from retrieval.domain import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    Citation,
    Degradation,
    Outcome,
    PassagesFound,
    Question,
    Retrieval,
    Usage,
)
from retrieval.engine import Engine, Missing
from retrieval.errors import (
    EmbedderUnavailable,
    IndexMismatch,
    InvalidQuestion,
    LlmInterrupted,
    LlmUnavailable,
    PinciteError,
    RerankerUnavailable,
)
from retrieval.generation.citations import CitationStream
from retrieval.generation.extractive import ExtractiveAnswer, ExtractiveAnswerer
from retrieval.generation.llm import Begun, Draft, Turn
from retrieval.models.protocols import Vectors
from retrieval.reading import standing
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

_log = structlog.get_logger(__name__)

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
        watch.timed("embed", _embed(engine, question, degraded)),
        watch.timed("lexical", lexical_leg(store, caller, question.text, settings, narrowing)),
    )
    dense: DenseFindings | None = None
    if embedding is not None:
        dense = await watch.timed("dense", dense_leg(store, caller, embedding, settings, narrowing))
        if engine.shadows is not None:
            engine.shadows.offer(caller, embedding, dense, narrowing)
    hits = dense.hits if dense else ()
    fused = await watch.timed("fuse", fuse(store, caller, embedding, hits, lexical, settings.dense_weight, narrowing))
    ranked = await watch.timed("rerank", _rerank(engine, question, fused, degraded))
    joined = await watch.timed("join", join_neighbours(store, caller, ranked, question.limit))
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


async def answer(engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as events: what was found, text with verified citations, the end.

    Raises like `retrieve()` before the first event, and `Overloaded` where too many answers wait for the LLM; never
    after it: what breaks then is an `AnswerFailed`.
    Closing the generator ends the work, the LLM's too.
    """
    watch = Stopwatch()
    retrieval = await retrieve(engine, question)
    # Before the first event: where too many wait for the LLM, the caller is told so by a clean 503.
    async with _turn(engine, question, retrieval) as turn:
        yield PassagesFound(retrieval=retrieval)
        try:
            async with aclosing(_write(engine, turn, question, retrieval, watch)) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        engine.telemetry.answered(event, retrieval)
                    yield event
        except PinciteError as error:
            engine.telemetry.answer_failed()
            yield AnswerFailed(code=error.code, message=str(error))


@asynccontextmanager
async def _turn(engine: Engine, question: Question, retrieval: Retrieval) -> AsyncIterator[Turn | None]:
    """A turn at the LLM; None where there is none, or nothing to ask it.

    An LLM reads the passages and can say that they do not answer; quoting cannot, so it asks for more confidence.
    """
    if engine.llm is None or retrieval.confidence < engine.settings.llm.ask_from:
        yield None
        return
    async with engine.llm.turn(question.caller.tenant) as turn:
        yield turn


async def _write(
    engine: Engine, turn: Turn | None, question: Question, retrieval: Retrieval, watch: Stopwatch
) -> AsyncGenerator[AnswerEvent, None]:
    """By the LLM where there is one; by quoting where there is none, or where it gives way before its first word."""
    if turn is not None:
        try:
            async with aclosing(_generate(engine, turn, question, retrieval, watch)) as events:
                async for event in events:
                    yield event
        except LlmInterrupted:
            raise
        except LlmUnavailable as error:
            _log.warning("llm_unavailable", reason=str(error))
            retrieval = replace(retrieval, degraded=(*retrieval.degraded, Degradation.LLM_UNAVAILABLE))
        else:
            return
    if retrieval.confidence < engine.settings.search.refuse_below:
        yield _finished(retrieval, watch, "refused", "search")
        return
    async for event in _extract(engine, question, retrieval, watch):
        yield event


async def _generate(
    engine: Engine, turn: Turn, question: Question, retrieval: Retrieval, watch: Stopwatch
) -> AsyncGenerator[AnswerEvent, None]:
    """Pack → generate → verify: every marker is checked before it is passed on."""
    usage: Usage | None = None

    async def holds(citation: Citation) -> bool:
        return all(await standing(engine.store, question.caller, [citation]))

    async with aclosing(turn.stream(Draft(question=question.text, passages=retrieval.passages))) as pieces:
        begun = await anext(pieces)
        assert isinstance(begun, Begun)  # it comes first
        cited = CitationStream(begun.passages, holds, question.text)
        async for piece in pieces:
            if isinstance(piece, Usage):
                usage = piece
            elif isinstance(piece, str):
                for event in await cited.feed(piece):
                    yield event
    whole = await cited.finish()
    for event in whole.events:
        yield event
    outcome: Outcome = "answered" if whole.citations else "unsupported"
    finished = _finished(
        retrieval, watch, outcome, begun.served.model, whole.text, whole.citations, rejected=whole.rejected, usage=usage
    )
    yield replace(finished, served=begun.served)


async def _extract(
    engine: Engine, question: Question, retrieval: Retrieval, watch: Stopwatch
) -> AsyncGenerator[AnswerEvent, None]:
    """The best supporting sentences, word for word; what was revoked or rewritten in the meantime is left out."""
    embedder = None if isinstance(engine.embedder, Missing) else engine.embedder
    extracts = await ExtractiveAnswerer(embedder).answer(question.text, retrieval.passages, retrieval.embedding)
    if not extracts.used_meaning and Degradation.EMBEDDER_UNAVAILABLE not in retrieval.degraded:
        retrieval = replace(retrieval, degraded=(*retrieval.degraded, Degradation.EMBEDDER_UNAVAILABLE))
    holding = await standing(engine.store, question.caller, extracts.citations)
    kept = tuple(sentence for sentence, holds in zip(extracts.sentences, holding, strict=True) if holds)
    extracts = ExtractiveAnswer(sentences=kept)
    for event in extracts.events():
        yield event
    outcome: Outcome = "answered" if kept else "refused"
    yield _finished(retrieval, watch, outcome, "extractive", extracts.text, extracts.citations)


def _finished(
    retrieval: Retrieval,
    watch: Stopwatch,
    outcome: Outcome,
    answered_by: str,
    text: str = "",
    citations: tuple[Citation, ...] = (),
    *,
    rejected: int = 0,
    usage: Usage | None = None,
) -> AnswerFinished:
    return AnswerFinished(
        outcome=outcome,
        text=text,
        citations=citations,
        rejected_citations=rejected,
        answered_by=answered_by,
        usage=usage,
        degraded=retrieval.degraded,
        timings_ms={**retrieval.timings_ms, **watch.milliseconds()},
    )


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
