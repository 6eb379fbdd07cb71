"""The way from a question to a cited answer. Reads from top to bottom; `retrieval/searching.py` finds the passages.

understand → search → a kept answer, or one under way → take a turn at the LLM → pack → generate, maybe in steps →
verify citations, or quote → guard

No connection is held while a model runs, and every read is made as the caller.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import structlog

from retrieval.caching.boarding import Flight, boarding, replayed
from retrieval.domain import (
    NOTHING_SPENT,
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    Citation,
    CitationFound,
    Degradation,
    Guarded,
    Outcome,
    PassagesFound,
    Question,
    ResponseFormat,
    Retrieval,
    Tool,
)
from retrieval.engine import Engine
from retrieval.errors import BudgetExhausted, InvalidStructuredAnswer, LlmInterrupted, LlmUnavailable, PinciteError
from retrieval.generation.cascade import Route, route
from retrieval.generation.drafts import Draft
from retrieval.generation.extractive import ExtractiveAnswer, ExtractiveAnswerer
from retrieval.generation.json_schema import AnswerSchema
from retrieval.generation.llm import Turn
from retrieval.generation.masking import shielded
from retrieval.generation.schema_check import checked
from retrieval.generation.structured import write_json
from retrieval.generation.structured_prompt import INSTRUCTIONS
from retrieval.generation.writing import Written, write
from retrieval.guarding.answers import AnswerGuard
from retrieval.reading import standing
from retrieval.searching import retrieve
from retrieval.serving import Missing
from retrieval.stepping import in_steps
from retrieval.timing import Stopwatch
from retrieval.understanding import Understood, understand

_log = structlog.get_logger(__name__)


async def answer(engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as events: what was found, text with verified citations, the end.

    Raises like `retrieve()` before the first event, `InvalidResponseFormat`, `Overloaded` where too many answers wait
    for the LLM, and by policy `BudgetExhausted`; never after it: what breaks then is an `AnswerFailed`.
    Closing the generator ends the work, the LLM's too.
    """
    watch = Stopwatch()
    schema = await _checked(question.response_format)
    engine = await engine.pinned()
    understood = await watch.timed("understand", understand, engine, question)
    found = await retrieve(engine, understood.searched)
    retrieval = replace(found, degraded=(*understood.degraded, *found.degraded))
    task = _Task(engine=engine, understood=understood, schema=schema, watch=watch)
    asks = _asks(task, retrieval)
    async with boarding(engine, task.question, retrieval, asks=asks) as flight, AsyncExitStack() as turns:
        # Before the first event: where too many wait for the LLM, the caller is told so by a clean 503.
        seated = await turns.enter_async_context(_turn(task, retrieval)) if flight.leads else None
        yield PassagesFound(retrieval=retrieval, question_asked=understood.reworded)
        try:
            async with aclosing(_arriving(task, flight, turns, seated, retrieval)) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        engine.telemetry.answered(event, found)
                    yield event
        except PinciteError as error:
            engine.telemetry.answer_failed()
            reset_at = error.reset_at if isinstance(error, BudgetExhausted) else None
            yield AnswerFailed(code=error.code, message=str(error), reset_at=reset_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is to be answered, as JSON where there is a schema, and with what."""

    engine: Engine
    understood: Understood
    schema: AnswerSchema | None
    watch: Stopwatch

    @property
    def question(self) -> Question:
        return self.understood.question

    @property
    def tools(self) -> frozenset[Tool]:
        """What the model may use. JSON is written in one go."""
        return self.question.tools if self.engine.settings.llm.tools and self.schema is None else frozenset()

    def draft(self, retrieval: Retrieval) -> Draft:
        """What a model is asked for."""
        return Draft(
            question=self.question.text,
            passages=retrieval.passages,
            history=self.question.history,
            tools=self.tools,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seated:
    """A turn at the LLM, and the tier where it starts."""

    turn: Turn
    start: Route


async def _checked(wanted: ResponseFormat | None) -> AnswerSchema | None:
    # In a thread: a large schema takes tenths of a second.
    return None if wanted is None else await asyncio.to_thread(checked, wanted)


def _asks(task: _Task, retrieval: Retrieval) -> bool:
    """Whether there is something to ask the LLM.

    It reads the passages and can say that they do not answer; quoting cannot, so it asks for more confidence. With
    tools it may find what the first search did not.
    """
    engine = task.engine
    return engine.llm is not None and (retrieval.confidence >= engine.settings.llm.ask_from or bool(task.tools))


@asynccontextmanager
async def _turn(task: _Task, retrieval: Retrieval) -> AsyncIterator[_Seated | None]:
    """A turn at the LLM; None where there is none, or nothing to ask it."""
    llm, settings, question = task.engine.llm, task.engine.settings, task.question
    if llm is None or not _asks(task, retrieval):
        yield None
        return
    start = route(question.text, retrieval, tools=bool(task.tools))
    async with llm.turn(question.caller, question.origin, start.tier) as turn:
        if settings.spending.when_exhausted == "refuse":
            # Before the first event: where no budget allows an answer, the caller is told so by a clean 429.
            await turn.check_budget(task.draft(retrieval))
        yield _Seated(turn=shielded(turn, settings.guard), start=start)


async def _arriving(
    task: _Task, flight: Flight, turns: AsyncExitStack, seated: _Seated | None, retrieval: Retrieval
) -> AsyncGenerator[AnswerEvent, None]:
    """The answer as another has written it, or, guarded, as it is written now; then it is given to all who wait."""
    await flight.join()
    if flight.arrived is not None:
        async for event in replayed(flight.arrived, task.watch, retrieval):
            yield event
        return
    if seated is None:  # who led gave up
        seated = await turns.enter_async_context(_turn(task, retrieval))
    own = task.schema.words if task.schema else frozenset[str]()
    guard = AnswerGuard(task.engine.settings.guard, retrieval.passages, INSTRUCTIONS, own)
    async with aclosing(guard.watch(_write(task, seated, retrieval))) as events:
        async for event in events:
            if isinstance(event, AnswerFinished):
                await _check_fit(task, event)
                event = await flight.land(_accounted(event, task.understood, seated))
            yield event


async def _check_fit(task: _Task, finished: AnswerFinished) -> None:
    """Raises `InvalidStructuredAnswer` where the guard took out of the JSON what the schema asks for."""
    if task.schema is None or finished.outcome == "refused" or finished.guarded == Guarded():
        return
    if problems := await asyncio.to_thread(task.schema.problems, finished.structured):
        places = "; ".join(f"{problem.place} ({problem.rule})" for problem in problems)
        raise InvalidStructuredAnswer(f"without what may not leave, the answer does not fit the schema: {places}")


async def _write(task: _Task, seated: _Seated | None, retrieval: Retrieval) -> AsyncGenerator[AnswerEvent, None]:
    """By the LLM where there is one; by quoting where there is none, or where it gives way before its first word."""
    if seated is not None:
        try:
            async with aclosing(_generate(task, seated, retrieval)) as events:
                async for event in events:
                    yield event
        except LlmInterrupted:
            raise
        except (LlmUnavailable, BudgetExhausted) as error:
            await seated.turn.leave()
            retrieval = _without_llm(task.engine, retrieval, error)
        else:
            return
    if task.schema is not None and task.engine.llm is None:
        retrieval = _degraded(retrieval, Degradation.LLM_UNAVAILABLE)
    async for event in _quote(task, retrieval):
        yield event


async def _generate(task: _Task, seated: _Seated, retrieval: Retrieval) -> AsyncGenerator[AnswerEvent, None]:
    """Pack → generate → verify: every marker, or every quotation, is checked before it is passed on."""
    engine, question, turn = task.engine, task.question, seated.turn
    draft = task.draft(retrieval)

    async def holding(citations: Sequence[Citation]) -> list[bool]:
        return await standing(engine.store, question.caller, citations)

    if task.schema is not None:
        written = await write_json(turn, seated.start, draft, task.schema, holding, engine.settings.llm.repairs)
        for citation in written.citations:
            yield CitationFound(citation=citation)
        yield _by_llm(retrieval, task.watch, written)
        return
    stream = partial(in_steps, engine, turn, question)
    async with aclosing(write(stream, turn, seated.start, draft, holding)) as events:
        async for event in events:
            yield _by_llm(retrieval, task.watch, event) if isinstance(event, Written) else event


def _without_llm(engine: Engine, retrieval: Retrieval, error: LlmUnavailable | BudgetExhausted) -> Retrieval:
    """What was found, to be quoted from, and why. Raises `BudgetExhausted` where that is the policy."""
    exhausted = isinstance(error, BudgetExhausted)
    if exhausted and engine.settings.spending.when_exhausted == "refuse":
        raise error
    _log.warning(error.code, reason=str(error))
    return _degraded(retrieval, Degradation.BUDGET_EXHAUSTED if exhausted else Degradation.LLM_UNAVAILABLE)


def _degraded(retrieval: Retrieval, code: Degradation) -> Retrieval:
    return replace(retrieval, degraded=(*retrieval.degraded, code))


async def _quote(task: _Task, retrieval: Retrieval) -> AsyncGenerator[AnswerEvent, None]:
    """The best supporting sentences, word for word; what was revoked or rewritten in the meantime is left out.

    Refused where the passages fit badly; and quoting fills no schema.
    """
    engine, question = task.engine, task.understood.searched
    if task.schema is not None or retrieval.confidence < engine.settings.search.refuse_below:
        yield _finished(retrieval, task.watch, "refused", "search")
        return
    embedder = None if isinstance(engine.embedder, Missing) else engine.embedder
    extracts = await ExtractiveAnswerer(embedder).answer(question.text, retrieval.passages, retrieval.embedding)
    if not extracts.used_meaning and Degradation.EMBEDDER_UNAVAILABLE not in retrieval.degraded:
        retrieval = _degraded(retrieval, Degradation.EMBEDDER_UNAVAILABLE)
    holding = await standing(engine.store, question.caller, extracts.citations)
    kept = tuple(sentence for sentence, holds in zip(extracts.sentences, holding, strict=True) if holds)
    extracts = ExtractiveAnswer(sentences=kept)
    for event in extracts.events():
        yield event
    outcome: Outcome = "answered" if kept else "refused"
    yield _finished(retrieval, task.watch, outcome, "extractive", extracts.text, extracts.citations)


def _accounted(finished: AnswerFinished, understood: Understood, seated: _Seated | None) -> AnswerFinished:
    """With what all calls took and cost, that for rewording the question included."""
    spent = (understood.cost_usd, seated.turn.cost_usd if seated else None)
    costs = [cost for cost in spent if cost is not None]
    took = (understood.usage or NOTHING_SPENT) + (seated.turn.usage if seated else NOTHING_SPENT)
    usage = None if took == NOTHING_SPENT else took
    return replace(finished, usage=usage, cost_usd=sum(costs, Decimal()) if costs else None)


def _finished(
    retrieval: Retrieval,
    watch: Stopwatch,
    outcome: Outcome,
    answered_by: str,
    text: str = "",
    citations: tuple[Citation, ...] = (),
    *,
    rejected: int = 0,
) -> AnswerFinished:
    return AnswerFinished(
        outcome=outcome,
        text=text,
        citations=citations,
        rejected_citations=rejected,
        answered_by=answered_by,
        usage=None,
        degraded=retrieval.degraded,
        timings_ms={**retrieval.timings_ms, **watch.milliseconds()},
    )


def _by_llm(retrieval: Retrieval, watch: Stopwatch, written: Written) -> AnswerFinished:
    finished = _finished(
        retrieval,
        watch,
        written.outcome,
        written.served.model,
        written.text,
        written.citations,
        rejected=written.rejected,
    )
    return replace(finished, served=written.served, structured=written.structured)
