"""An answer, as events and as one body."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field

from api.schemas.base import Rounded, Usd, Wire
from api.schemas.passages import PassageOut, Place, SearchResponse
from retrieval.domain import (
    AnswerFinished,
    CacheUse,
    Citation,
    Degradation,
    Guarded,
    Outcome,
    PassagesFound,
    Served,
    StepTaken,
    Tier,
    TierReason,
    Tool,
    Usage,
)


class CitationOut(Place):
    """A verified pointer: `quote` is the document's text at exactly `char_start` to `char_end`."""

    number: int = Field(description="The passage it was found in, and the `[n]` in the answer's text")
    quote: str
    support: float = Field(description="0 to 1: the share of the claim's content words that stand in the quote")
    redacted: bool = Field(description="Something was taken out of the quote; the offsets are those of the whole")

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
            redacted=citation.redacted,
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
    tier: Tier | None = Field(description="The model's tier; null where there are none")
    reason: TierReason | None = Field(description="Why that tier answered; null where there are none")

    @classmethod
    def of(cls, served: Served) -> Self:
        return cls(
            endpoint=served.endpoint,
            model=served.model,
            attempts=served.attempts,
            tier=served.tier,
            reason=served.reason,
        )


_ASKED = "What was searched for, where the question was made to stand alone; null: the question itself"


class GuardedOut(Wire):
    """How often something was taken out of the answer that may not leave."""

    links: int = Field(description="Links and images that lead where no cited document does")
    secrets: int = Field(description="Credentials")
    pii: int = Field(description="Personal data, where the operator's policy is to remove it")
    instructions: int = Field(description="The service's own instructions")

    @classmethod
    def of(cls, guarded: Guarded) -> Self:
        return cls(links=guarded.links, secrets=guarded.secrets, pii=guarded.pii, instructions=guarded.instructions)


class PassagesEvent(SearchResponse):
    """Event `passages`: always first."""

    question_asked: str | None = Field(description=_ASKED)

    @classmethod
    def found(cls, event: PassagesFound, request_id: str) -> Self:
        return cls(**dict(SearchResponse.of(event.retrieval, request_id)), question_asked=event.question_asked)


class StepOut(Wire):
    """A tool that the model called, and what came of it."""

    number: int = Field(description="From 1")
    tool: Tool | Literal["unknown"]
    arguments: dict[str, Any] = Field(description="Empty where they could not be read")
    found: int = Field(description="Passages or documents, those known before included")
    refused: str | None = Field(description="Why it was not done; null: it was", examples=["invalid_arguments"])


class StepEvent(StepOut):
    """Event `step`: before the first `text`. Its passages are new, and numbered on from all before them."""

    passages: list[PassageOut]

    @classmethod
    def of(cls, step: StepTaken) -> Self:
        return cls(
            number=step.number,
            tool=step.tool,
            arguments=dict(step.arguments),
            found=step.found,
            refused=step.refused,
            passages=[PassageOut.of(ranked) for ranked in step.passages],
        )


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
    cost_usd: Usd | None = Field(
        description="What all calls to LLMs for it cost, failed ones too; null where none was made"
    )
    structured: Any = Field(description="The JSON that `response_format` asked for, validated; null where none was")
    guarded: GuardedOut
    usage: UsageOut | None = Field(
        description="What all LLMs that began to answer took, also where it was quoted in the end; null where none did"
    )
    served: ServedOut | None = Field(description="null where no LLM wrote it; 0 attempts where it is from the cache")
    cache: CacheUse = Field(
        description="`exact`, `semantic`: kept from this question, or nearly the same one, its citations read again;"
        " `shared`: just written for another asker; `miss`: written anew; `bypass`: neither looked for nor kept"
    )
    degraded: list[Degradation]
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, finished: AnswerFinished) -> Self:
        return cls(
            outcome=finished.outcome,
            text=finished.text,
            citations=[CitationOut.of(citation) for citation in finished.citations],
            rejected_citations=finished.rejected_citations,
            answered_by=finished.answered_by,
            usage=UsageOut.of(finished.usage) if finished.usage else None,
            cost_usd=finished.cost_usd,
            served=ServedOut.of(finished.served) if finished.served else None,
            structured=finished.structured,
            guarded=GuardedOut.of(finished.guarded),
            cache=finished.cache,
            degraded=list(finished.degraded),
            timings_ms=dict(finished.timings_ms),
        )


class AnswerResponse(FinishedEvent):
    """A whole answer in one body: what `finished` says, the steps, and all passages, those of the steps included."""

    request_id: str
    passages: list[PassageOut]
    confidence: Rounded
    question_asked: str | None = Field(description=_ASKED)
    steps: list[StepOut]

    @classmethod
    def joined(cls, passages: PassagesEvent, steps: Sequence[StepEvent], finished: FinishedEvent) -> Self:
        """The events as one; what two of them say is as `finished` says it."""
        said = passages.model_dump() | finished.model_dump()
        said["steps"] = [step.model_dump(exclude={"passages"}) for step in steps]
        said["passages"] += [passage.model_dump() for step in steps for passage in step.passages]
        return cls.model_validate({name: said[name] for name in cls.model_fields})
