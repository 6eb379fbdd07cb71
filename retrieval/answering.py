"""The way from a question to a cited answer. Reads from top to bottom; `retrieval/searching.py` finds the passages.

search → a kept answer, or one under way → take a turn at the LLM → pack → generate → verify citations, or quote

No connection is held while a model runs, and every read is made as the caller.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

import structlog

from retrieval.caching.boarding import boarding, replayed
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
from retrieval.errors import LlmInterrupted, LlmUnavailable, PinciteError
from retrieval.generation.citations import CitationStream
from retrieval.generation.extractive import ExtractiveAnswer, ExtractiveAnswerer
from retrieval.generation.llm import Begun, Draft, Turn
from retrieval.reading import standing
from retrieval.searching import retrieve
from retrieval.timing import Stopwatch

_log = structlog.get_logger(__name__)


async def answer(engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as events: what was found, text with verified citations, the end.

    Raises like `retrieve()` before the first event, and `Overloaded` where too many answers wait for the LLM; never
    after it: what breaks then is an `AnswerFailed`.
    Closing the generator ends the work, the LLM's too.
    """
    watch = Stopwatch()
    retrieval = await retrieve(engine, question)
    asks = engine.llm is not None and retrieval.confidence >= engine.settings.llm.ask_from
    async with boarding(engine, question, retrieval, asks=asks) as flight, AsyncExitStack() as places:
        turn: Turn | None = None
        if flight.leads:
            # Before the first event: where too many wait for the LLM, the caller is told so by a clean 503.
            turn = await places.enter_async_context(_turn(engine, question, asks=asks))
        yield PassagesFound(retrieval=retrieval)
        try:
            await flight.join()
            if turn is None and flight.leads:  # who led gave up
                turn = await places.enter_async_context(_turn(engine, question, asks=asks))
            if flight.arrived is None:
                written = _write(engine, turn, question, retrieval, watch)
            else:
                written = replayed(flight.arrived, watch, retrieval)
            async with aclosing(written) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        event = await flight.land(event)
                        engine.telemetry.answered(event, retrieval)
                    yield event
        except PinciteError as error:
            engine.telemetry.answer_failed()
            yield AnswerFailed(code=error.code, message=str(error))


@asynccontextmanager
async def _turn(engine: Engine, question: Question, *, asks: bool) -> AsyncIterator[Turn | None]:
    """A turn at the LLM; None where there is none, or nothing to ask it.

    An LLM reads the passages and can say that they do not answer; quoting cannot, so it asks for more confidence.
    """
    if engine.llm is None or not asks:
        yield None
        return
    async with engine.llm.turn(question.caller) as turn:
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
