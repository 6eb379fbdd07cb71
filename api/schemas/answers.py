"""An answer, as events and as one body."""

from typing import Any, Self

from pydantic import Field

from api.schemas.base import Rounded, Wire
from api.schemas.passages import PassageOut, Place, SearchResponse
from retrieval.domain import AnswerFinished, Citation, Degradation, Outcome, Served, Usage


class CitationOut(Place):
    """A verified pointer: `quote` is the document's text at exactly `char_start` to `char_end`."""

    number: int = Field(description="The passage it was found in, and the `[n]` in the answer's text")
    quote: str
    support: float = Field(description="0 to 1: the share of the claim's content words that stand in the quote")

    @classmethod
    def of(cls, citation: Citation) -> Self:
        return cls(
            number=citation.number,
            document_id=citation.document_id,
            version=citation.version,
            uri=citation.uri,
            title=citation.title,
            section=list(citation.heading_path),
            first_page=citation.first_page,
            last_page=citation.last_page,
            char_start=citation.char_start,
            char_end=citation.char_end,
            quote=citation.quote,
            support=citation.support,
        )


class UsageOut(Wire):
    """Tokens the model took; `estimated` when the provider did not say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool

    @classmethod
    def of(cls, usage: Usage) -> Self:
        return cls(
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, estimated=usage.estimated
        )


class ServedOut(Wire):
    """Which endpoint wrote the answer, by the name its operator gave it."""

    endpoint: str
    model: str
    attempts: int = Field(description="Calls to any endpoint that it took")

    @classmethod
    def of(cls, served: Served) -> Self:
        return cls(endpoint=served.endpoint, model=served.model, attempts=served.attempts)


class PassagesEvent(SearchResponse):
    """Event `passages`: always first."""


class TextEvent(Wire):
    """Event `text`: the answer's next words."""

    text: str


class CitationEvent(CitationOut):
    """Event `citation`: a citation, verified as soon as its sentence was complete."""


class FinishedEvent(Wire):
    """Event `finished`: the last one of a good stream."""

    outcome: Outcome = Field(
        description="`refused`: nothing you may see answers the question; `unsupported`: no citation of the text holds"
    )
    text: str = Field(description="The whole answer; where it differs from the streamed text, this one counts")
    citations: list[CitationOut]
    rejected_citations: int = Field(description="Markers that pointed nowhere, taken out of the text")
    answered_by: str = Field(description="The model's name, or `extractive`")
    usage: UsageOut | None
    served: ServedOut | None = Field(description="null where no LLM wrote it")
    degraded: list[Degradation]
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, finished: AnswerFinished) -> Self:
        return cls(**finished_fields(finished))


class AnswerResponse(FinishedEvent):
    """A whole answer in one body: what `finished` says, and the passages."""

    request_id: str
    passages: list[PassageOut]
    confidence: Rounded

    @classmethod
    def joined(cls, passages: PassagesEvent, finished: FinishedEvent) -> Self:
        """The two events as one; what both say is as `finished` says it."""
        said = passages.model_dump() | finished.model_dump()
        return cls.model_validate({name: said[name] for name in cls.model_fields})


def finished_fields(finished: AnswerFinished) -> dict[str, Any]:
    """The fields that the `finished` event and the JSON answer share."""
    return {
        "outcome": finished.outcome,
        "text": finished.text,
        "citations": [CitationOut.of(citation) for citation in finished.citations],
        "rejected_citations": finished.rejected_citations,
        "answered_by": finished.answered_by,
        "usage": UsageOut.of(finished.usage) if finished.usage else None,
        "served": ServedOut.of(finished.served) if finished.served else None,
        "degraded": list(finished.degraded),
        "timings_ms": dict(finished.timings_ms),
    }
