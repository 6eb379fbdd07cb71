"""The way from a question to a cited answer. Reads from top to bottom; `retrieval/searching.py` finds the passages.

search → take a turn at the LLM → pack → generate → verify citations, or quote

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
    CitationFound,
    Degradation,
    Outcome,
    PassagesFound,
    Question,
    ResponseFormat,
    Retrieval,
    Usage,
)
from retrieval.engine import Engine, Missing
from retrieval.errors import LlmInterrupted, LlmUnavailable, PinciteError
from retrieval.generation.cascade import Route, route
from retrieval.generation.extractive import ExtractiveAnswer, ExtractiveAnswerer
from retrieval.generation.json_schema import AnswerSchema
from retrieval.generation.llm import Draft, Turn
from retrieval.generation.schema_check import checked
from retrieval.generation.structured import write_json
from retrieval.generation.writing import Written, write
from retrieval.reading import standing
from retrieval.searching import retrieve
from retrieval.timing import Stopwatch

_log = structlog.get_logger(__name__)


async def answer(engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as events: what was found, text with verified citations, the end.

    Raises like `retrieve()` before the first event, `InvalidResponseFormat`, and `Overloaded` where too many answers
    wait for the LLM; never after it: what breaks then is an `AnswerFailed`.
    Closing the generator ends the work, the LLM's too.
    """
    watch = Stopwatch()
    schema = await _checked(question.response_format)
    retrieval = await retrieve(engine, question)
    # Before the first event: where too many wait for the LLM, the caller is told so by a clean 503.
    async with _turn(engine, question, retrieval) as turn:
        yield PassagesFound(retrieval=retrieval)
        try:
            async with aclosing(_write(engine, turn, question, schema, retrieval, watch)) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        engine.telemetry.answered(event, retrieval)
                    yield event
        except PinciteError as error:
            engine.telemetry.answer_failed()
            yield AnswerFailed(code=error.code, message=str(error))


@asynccontextmanager
async def _turn(engine: Engine, question: Question, retrieval: Retrieval) -> AsyncIterator[tuple[Turn, Route] | None]:
    """A turn at the LLM, at the tier where the question starts; None where there is none, or nothing to ask it.

    An LLM reads the passages and can say that they do not answer; quoting cannot, so it asks for more confidence.
    """
    if engine.llm is None or retrieval.confidence < engine.settings.llm.ask_from:
        yield None
        return
    start = route(question.text, retrieval)
    async with engine.llm.turn(question.caller, start.tier) as turn:
        yield turn, start


async def _checked(wanted: ResponseFormat | None) -> AnswerSchema | None:
    # In a thread: a large schema takes tenths of a second.
    return None if wanted is None else await asyncio.to_thread(checked, wanted)


async def _write(
    engine: Engine,
    turn: tuple[Turn, Route] | None,
    question: Question,
    schema: AnswerSchema | None,
    retrieval: Retrieval,
    watch: Stopwatch,
) -> AsyncGenerator[AnswerEvent, None]:
    """By the LLM where there is one; by quoting where there is none, or where it gives way before its first word.

    Quoting fills no schema.
    """
    if turn is not None:
        try:
            async with aclosing(_generate(engine, *turn, question, schema, retrieval, watch)) as events:
                async for event in events:
                    yield event
        except LlmInterrupted:
            raise
        except LlmUnavailable as error:
            _log.warning("llm_unavailable", reason=str(error))
            await turn[0].leave()
            retrieval = _without_llm(retrieval)
        else:
            return
    retrieval = _without_llm(retrieval) if schema is not None and engine.llm is None else retrieval
    if schema is not None or retrieval.confidence < engine.settings.search.refuse_below:
        yield _finished(retrieval, watch, "refused", "search")
        return
    async for event in _extract(engine, question, retrieval, watch):
        yield event


def _without_llm(retrieval: Retrieval) -> Retrieval:
    return replace(retrieval, degraded=(*retrieval.degraded, Degradation.LLM_UNAVAILABLE))


async def _generate(
    engine: Engine,
    turn: Turn,
    start: Route,
    question: Question,
    schema: AnswerSchema | None,
    retrieval: Retrieval,
    watch: Stopwatch,
) -> AsyncGenerator[AnswerEvent, None]:
    """Pack → generate → verify: every marker, or every quotation, is checked before it is passed on."""
    draft = Draft(question=question.text, passages=retrieval.passages)

    async def holding(citations: Sequence[Citation]) -> list[bool]:
        return await standing(engine.store, question.caller, citations)

    if schema is not None:
        written = await write_json(turn, start, draft, schema, holding, engine.settings.llm.repairs)
        for citation in written.citations:
            yield CitationFound(citation=citation)
        yield _by_llm(retrieval, watch, written, turn.usage)
        return
    async with aclosing(write(turn, start, draft, holding)) as events:
        async for event in events:
            yield _by_llm(retrieval, watch, event, turn.usage) if isinstance(event, Written) else event


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


def _by_llm(retrieval: Retrieval, watch: Stopwatch, written: Written, usage: Usage) -> AnswerFinished:
    finished = _finished(
        retrieval,
        watch,
        written.outcome,
        written.served.model,
        written.text,
        written.citations,
        rejected=written.rejected,
        usage=usage,
    )
    return replace(finished, served=written.served, structured=written.structured)
