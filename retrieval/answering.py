"""The way from a question to a cited answer. Reads from top to bottom; `retrieval/searching.py` finds the passages.

understand → search → take a turn at the LLM → pack → generate, maybe in steps → verify citations, or quote

No connection is held while a model runs, and every read is made as the caller.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

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
    StepTaken,
    Tool,
    Usage,
)
from retrieval.engine import Engine, Missing
from retrieval.errors import LlmInterrupted, LlmUnavailable, PinciteError
from retrieval.generation.citations import CitationStream
from retrieval.generation.drafts import Draft
from retrieval.generation.extractive import ExtractiveAnswer, ExtractiveAnswerer
from retrieval.generation.llm import Begun, Turn
from retrieval.reading import standing
from retrieval.searching import retrieve
from retrieval.stepping import in_steps
from retrieval.timing import Stopwatch
from retrieval.understanding import Understood, understand

_log = structlog.get_logger(__name__)


async def answer(engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as events: what was found, text with verified citations, the end.

    Raises like `retrieve()` before the first event, and `Overloaded` where too many answers wait for the LLM; never
    after it: what breaks then is an `AnswerFailed`.
    Closing the generator ends the work, the LLM's too.
    """
    watch = Stopwatch()
    understood = await watch.timed("understand", understand(engine, question))
    found = await retrieve(engine, understood.searched)
    retrieval = replace(found, degraded=(*understood.degraded, *found.degraded))
    # Before the first event: where too many wait for the LLM, the caller is told so by a clean 503.
    async with _turn(engine, question, retrieval) as turn:
        yield PassagesFound(retrieval=retrieval, question_asked=understood.reworded)
        try:
            async with aclosing(_write(engine, turn, understood, retrieval, watch)) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        engine.telemetry.answered(event, found)
                    yield event
        except PinciteError as error:
            engine.telemetry.answer_failed()
            yield AnswerFailed(code=error.code, message=str(error))


@asynccontextmanager
async def _turn(engine: Engine, question: Question, retrieval: Retrieval) -> AsyncIterator[Turn | None]:
    """A turn at the LLM; None where there is none, or nothing to ask it.

    An LLM reads the passages and can say that they do not answer; quoting cannot, so it asks for more confidence.
    With tools it may find what the first search did not.
    """
    too_little = retrieval.confidence < engine.settings.llm.ask_from and not _tools(engine, question)
    if engine.llm is None or too_little:
        yield None
        return
    async with engine.llm.turn(question.caller) as turn:
        yield turn


async def _write(
    engine: Engine, turn: Turn | None, understood: Understood, retrieval: Retrieval, watch: Stopwatch
) -> AsyncGenerator[AnswerEvent, None]:
    """By the LLM where there is one; by quoting where there is none, or where it gives way before its first word."""
    if turn is not None:
        try:
            async with aclosing(_generate(engine, turn, understood, retrieval, watch)) as events:
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
    async for event in _extract(engine, understood.searched, retrieval, watch):
        yield event


async def _generate(
    engine: Engine, turn: Turn, understood: Understood, retrieval: Retrieval, watch: Stopwatch
) -> AsyncGenerator[AnswerEvent, None]:
    """Pack → generate → verify: every marker is checked before it is passed on."""
    question, usage = understood.question, understood.usage
    holds = partial(_holds, engine, question)
    async with aclosing(in_steps(engine, turn, question, _draft(engine, question, retrieval))) as pieces:
        async for piece in pieces:
            match piece:
                case StepTaken():
                    yield piece
                case Begun() as begun:
                    cited = CitationStream(begun.passages, holds, question.text)
                case Usage():
                    usage += piece
                case str():
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


async def _holds(engine: Engine, question: Question, citation: Citation) -> bool:
    return all(await standing(engine.store, question.caller, [citation]))


def _tools(engine: Engine, question: Question) -> frozenset[Tool]:
    return question.tools if engine.settings.llm.tools else frozenset()


def _draft(engine: Engine, question: Question, retrieval: Retrieval) -> Draft:
    return Draft(
        question=question.text,
        passages=retrieval.passages,
        history=question.history,
        tools=_tools(engine, question),
    )


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
