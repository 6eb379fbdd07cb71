"""JSON answers: what a model wrote is read, held against the caller's schema, and its quotations against the passages.

Nothing leaves before all of it is checked, so what fails may be mended, or asked of another model.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from retrieval.domain import Citation, Served, TierReason
from retrieval.errors import InvalidStructuredAnswer, LlmInterrupted
from retrieval.generation.cascade import LOW_SUPPORT, Route, doubt
from retrieval.generation.citations import Verifier
from retrieval.generation.drafts import Draft
from retrieval.generation.json_schema import AnswerSchema
from retrieval.generation.json_text import NotJson, read_json
from retrieval.generation.llm import Begun, Turn
from retrieval.generation.sentences import support, terms
from retrieval.generation.structured_prompt import Mending, StructuredDraft
from retrieval.generation.writing import Holding, Written, may_escalate, served_by

_MOST_CITATIONS = 40
_LONGEST_MESSAGE = 1000


class _Quotation(BaseModel):
    passage: int
    quote: str


class _Envelope(BaseModel):
    """What a model is asked for, see `json_schema.wrapped`."""

    citations: list[_Quotation] = Field(max_length=_MOST_CITATIONS)
    unanswerable: bool = False
    answer: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Misfit:
    """What is wrong with an answer: `places` for the caller; `message`, for the model, may repeat its own words."""

    places: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filled:
    """An answer that fits; `supported` is the share of its words that stand in its quotations, all together."""

    answer: Any
    unanswerable: bool
    citations: tuple[Citation, ...]
    rejected: int
    supported: float


async def write_json(
    turn: Turn, route: Route, draft: Draft, schema: AnswerSchema, holding: Holding, repairs: int
) -> Written:
    """The answer as JSON that fits the schema, mended by the model at most so many times.

    Raises `InvalidStructuredAnswer` where it does not fit in the end, and `LlmUnavailable`.
    """
    wanted, escalation = StructuredDraft(draft=draft, schema=schema), None
    while True:
        try:
            begun, text = await _whole(turn, wanted)
        except LlmInterrupted:
            continue  # nothing of it was let out, and who broke off is not asked again
        read = await _read(begun, text, schema, holding)
        why = _doubt(read, route)
        if why is not None and may_escalate(turn, route, begun):
            turn.escalate()
            escalation = why
        elif isinstance(read, _Filled):
            await turn.leave()
            return _written(read, served_by(turn, begun, route, escalation))
        elif repairs == 0:
            raise InvalidStructuredAnswer(f"the language model's answer does not fit the schema: {read.places}")
        else:
            repairs -= 1
            wanted = replace(wanted, mending=Mending(text=text, problems=read.message))


async def _whole(turn: Turn, draft: StructuredDraft) -> tuple[Begun, str]:
    async with aclosing(turn.stream(draft)) as pieces:
        begun = await anext(pieces)
        assert isinstance(begun, Begun)  # it comes first
        return begun, "".join([piece async for piece in pieces if isinstance(piece, str)])


async def _read(begun: Begun, text: str, schema: AnswerSchema, holding: Holding) -> _Filled | _Misfit:
    envelope = _envelope(text)
    if isinstance(envelope, _Misfit):
        return envelope
    if not envelope.unanswerable:
        # In a thread: a hostile schema takes its tenth of a second, and others are answered meanwhile.
        problems = await asyncio.to_thread(schema.problems, envelope.answer)
        if problems:
            places = "; ".join(f"{problem.place} ({problem.rule})" for problem in problems)
            message = "; ".join(f"answer{problem.place[1:]}: {problem.message}" for problem in problems)
            return _Misfit(places=places, message=message[:_LONGEST_MESSAGE])
    return await _cited(begun, envelope, holding)


def _envelope(text: str) -> _Envelope | _Misfit:
    try:
        return _Envelope.model_validate(read_json(text))
    except NotJson as error:
        return _Misfit(places=f"no JSON: {error}", message=f"it is no JSON: {error}")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"[:_LONGEST_MESSAGE]
        return _Misfit(places="not an object of citations and answer", message=reason)


async def _cited(begun: Begun, envelope: _Envelope, holding: Holding) -> _Filled:
    """The answer with the quotations that stand in their passages and still hold, each once."""
    claim = terms(" ; ".join(_words(envelope.answer)))
    verifier = Verifier(begun.passages)
    true = [verifier.quoted(one.passage, one.quote, claim) for one in envelope.citations]
    found = [one for one in true if one is not None]
    kept = [one for one, holds in zip(found, await holding(found), strict=True) if holds]
    said = frozenset(terms(" ; ".join(one.quote for one in kept)))
    return _Filled(
        answer=envelope.answer,
        unanswerable=envelope.unanswerable,
        citations=tuple(dict.fromkeys(kept)),
        rejected=len(true) - len(kept),
        supported=support(claim, said) if claim else 1.0,
    )


def _words(value: object) -> Iterator[str]:
    """The strings and numbers that the answer consists of, without the names of its fields."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _doubt(read: _Filled | _Misfit, route: Route) -> TierReason | None:
    """Why a small model's answer is not good enough."""
    if isinstance(read, _Misfit):
        return TierReason.ESCALATED_SCHEMA_INVALID
    if read.citations and not read.unanswerable:
        return TierReason.ESCALATED_LOW_SUPPORT if read.supported < LOW_SUPPORT else None
    return doubt((), route.confidence, declined=read.unanswerable)


def _written(filled: _Filled, served: Served) -> Written:
    if filled.unanswerable:
        return Written(outcome="refused", text="", citations=(), rejected=filled.rejected, served=served)
    return Written(
        outcome="answered" if filled.citations else "unsupported",
        text=json.dumps(filled.answer, ensure_ascii=False),
        citations=filled.citations,
        rejected=filled.rejected,
        served=served,
        structured=filled.answer,
    )
