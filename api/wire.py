"""An answer's events as they go out: named, numbered, as JSON."""

from collections.abc import Sequence
from uuid import UUID

from fastapi.sse import format_sse_event
from pydantic import BaseModel

from api.errors import error_body
from api.schemas.answers import CitationEvent, FinishedEvent, PassagesEvent, StepEvent, TextEvent
from retrieval.domain import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    CitationFound,
    PassagesFound,
    RankedPassage,
    StepTaken,
    TextDelta,
)
from retrieval.keeping.shelf import Source, WireEvent

LAST = frozenset({"finished", "error"})
"""Every stream ends with one of these."""


def encoded(event: AnswerEvent, number: int, request_id: str) -> WireEvent:
    """One event as it goes out."""
    match event:
        case PassagesFound():
            return _wire(number, "passages", PassagesEvent.found(event, request_id))
        case StepTaken():
            return _wire(number, "step", StepEvent.of(event))
        case TextDelta():
            return _wire(number, "text", TextEvent(text=event.text))
        case CitationFound():
            return _wire(number, "citation", CitationEvent.of(event.citation))
        case AnswerFinished():
            return _wire(number, "finished", FinishedEvent.of(event))
        case AnswerFailed():
            return _wire(number, "error", error_body(event.code, event.message, request_id, event.reset_at))


def _wire(number: int, name: str, data: BaseModel) -> WireEvent:
    return WireEvent(number=number, name=name, data=data.model_dump_json())


def sources_of(event: AnswerEvent) -> frozenset[Source]:
    """The documents whose words the event shows, or that the answer may name from then on, and in which version."""
    match event:
        case PassagesFound():
            return _shown(event.retrieval.passages)
        case StepTaken():
            return _shown(event.passages) | frozenset(event.listed)
        case CitationFound():
            return frozenset({(event.citation.document_id, event.citation.version)})
        case AnswerFinished():
            return frozenset((citation.document_id, citation.version) for citation in event.citations)
        case TextDelta() | AnswerFailed():
            return frozenset()


def _shown(passages: Sequence[RankedPassage]) -> frozenset[Source]:
    return frozenset((ranked.passage.key.document_id, ranked.passage.version) for ranked in passages)


def server_sent_event(answer_id: UUID, event: WireEvent) -> bytes:
    """The event in the SSE wire format, with the id at which the answer can be taken up again."""
    return format_sse_event(event=event.name, data_str=event.data, id=f"{answer_id.hex}.{event.number}")


def unnumbered_event(name: str, data: BaseModel) -> bytes:
    """An event of this connection rather than of the answer: it has no id, so what is resumed does not skip it."""
    return format_sse_event(event=name, data_str=data.model_dump_json())
