"""The wire: what requests may say and what responses promise. Built from the nouns in retrieval/domain.py."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from retrieval.access import Caller
from retrieval.domain import (
    AnswerFinished,
    Candidate,
    Citation,
    Degradation,
    DensePath,
    DensePlan,
    Outcome,
    Question,
    RankedPassage,
    Retrieval,
    Served,
    Usage,
)
from retrieval.filter_json import FilterInput
from retrieval.readiness import Readiness
from retrieval.reading import StoredDocument
from retrieval.upstream.breaker import BreakerState


def without_nul(text: str) -> str:
    """The text, which Postgres can take."""
    if "\0" in text:
        raise PydanticCustomError("nul_character", "may not contain NUL characters")
    return text


QuestionText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(without_nul)
]
Principal = Annotated[str, StringConstraints(min_length=1, max_length=221)]
Principals = Annotated[list[Principal], Field(max_length=500)]

# An exact score would tell how common a word is in all documents, also those that the asker may not see.
Rounded = Annotated[float, AfterValidator(lambda number: round(number, 2))]

_SPEAK_FOR = (
    "On whose behalf (`user:ada`, `group:eng`). With the scope `act_as` only: left out or empty, such a key sees what "
    "everyone may see. Keys without it ask as the principals they were made with and may not send any."
)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchRequest(_Wire):
    """A question to find passages for."""

    question: QuestionText = Field(description="In the asker's own words, 1 to 2000 characters")
    principals: Principals | None = Field(None, description=_SPEAK_FOR, examples=[["user:ada", "group:eng"]])
    limit: int = Field(8, ge=1, le=20, description="Most passages to find")
    filter: FilterInput | None = Field(None, description="What the passages and their documents must be like")

    def by(self, caller: Caller) -> Question:
        """The question as this caller's. Raises `InvalidFilter`."""
        wanted = self.filter.parsed() if self.filter else None
        return Question(text=self.question, caller=caller, limit=self.limit, filter=wanted)


class AnswerRequest(SearchRequest):
    """A question to answer."""

    stream: bool = Field(True, description="Server-sent events; false, or `Accept: application/json`: one JSON body")


class ErrorDetail(_Wire):
    code: str = Field(description="Stable, for programs", examples=["invalid_request"])
    message: str = Field(description="For people; may change")
    request_id: str = Field(description="The same as the `X-Request-ID` header")


class ErrorBody(_Wire):
    """The body of every error."""

    error: ErrorDetail


class _Place(_Wire):
    """Where something stands. Offsets are Unicode code points into the document's text, half open."""

    document_id: UUID
    version: int = Field(description="The document's version that was read; another one may have another text")
    uri: str
    title: str
    section: list[str] = Field(description="Headings above the place, outermost first")
    first_page: int | None = Field(description="Counted from 1; null where the format has no pages")
    last_page: int | None
    char_start: int
    char_end: int


class PassageOut(_Place):
    """A found passage, one chunk or several that follow each other, with its rank in each search leg."""

    number: int = Field(description="From 1: what `[n]` in an answer refers to")
    text: str
    score: Rounded = Field(description="How well it fits, up to 1, rounded: what this question's first order is by")
    rerank_score: Rounded | None = Field(description="What the final order is by; null where no reranker read it")
    dense_rank: int | None = Field(description="Rank by meaning, from 1; null where that leg did not propose it")
    lexical_rank: int | None = Field(description="Rank by words, from 1; null where that leg did not propose it")
    duplicates: list[UUID] = Field(
        description="Other documents, that you may see, which say the same and come after it"
    )

    @classmethod
    def of(cls, ranked: RankedPassage) -> Self:
        passage, candidate = ranked.passage, ranked.candidate
        return cls(
            number=ranked.number,
            document_id=passage.key.document_id,
            version=passage.version,
            uri=passage.uri,
            title=passage.title,
            section=list(passage.heading_path),
            first_page=passage.first_page,
            last_page=passage.last_page,
            char_start=passage.char_start,
            char_end=passage.char_end,
            text=passage.text,
            score=candidate.score,
            rerank_score=ranked.rerank_score,
            duplicates=list(ranked.duplicates),
            **_legs(candidate),
        )


def _legs(candidate: Candidate) -> dict[str, Any]:
    return {
        "dense_rank": candidate.dense_rank,
        "lexical_rank": candidate.lexical_rank,
    }


class CitationOut(_Place):
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


class UsageOut(_Wire):
    """Tokens the model took; `estimated` when the provider did not say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool

    @classmethod
    def of(cls, usage: Usage) -> Self:
        return cls(
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, estimated=usage.estimated
        )


class ServedOut(_Wire):
    """Which endpoint wrote the answer, by the name its operator gave it."""

    endpoint: str
    model: str
    attempts: int = Field(description="Calls to any endpoint that it took")

    @classmethod
    def of(cls, served: Served) -> Self:
        return cls(endpoint=served.endpoint, model=served.model, attempts=served.attempts)


class PlanOut(_Wire):
    """How the search by meaning went. Of the tenant as a whole nothing is told: only what the asker may see."""

    path: DensePath = Field(
        description="`exact`: every visible chunk was compared; `index`: the vector index was walked;"
        " `index_completed`: the walk came back short, so every visible chunk was compared after all;"
        " `nothing`: no chunk matches the filter"
    )
    visible_chunks: int = Field(description="How many chunks the asker may see, estimated from kept counts")
    matching_chunks: int = Field(description="How many of them match the filter; an estimate unless `counted`")
    counted: bool

    @classmethod
    def of(cls, plan: DensePlan) -> Self:
        return cls(
            path=plan.path,
            visible_chunks=plan.visible_chunks,
            matching_chunks=plan.matching_chunks,
            counted=plan.counted,
        )


class SearchResponse(_Wire):
    """What a question found, best first."""

    request_id: str
    passages: list[PassageOut]
    confidence: Rounded = Field(
        description="0 to 1: how well the best passage fits, comparable between questions, rounded"
    )
    degraded: list[Degradation] = Field(description="What gave way while this was served")
    plan: PlanOut | None = Field(description="How the search by meaning went; null where words alone were searched")
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, retrieval: Retrieval, request_id: str) -> Self:
        return cls(
            request_id=request_id,
            passages=[PassageOut.of(ranked) for ranked in retrieval.passages],
            confidence=retrieval.confidence,
            degraded=list(retrieval.degraded),
            plan=PlanOut.of(retrieval.plan) if retrieval.plan else None,
            timings_ms=dict(retrieval.timings_ms),
        )


class PassagesEvent(SearchResponse):
    """Event `passages`: always first."""


class TextEvent(_Wire):
    """Event `text`: the answer's next words."""

    text: str


class CitationEvent(CitationOut):
    """Event `citation`: a citation, verified as soon as its sentence was complete."""


class FinishedEvent(_Wire):
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
    def joined(cls, found: SearchResponse, finished: AnswerFinished) -> Self:
        return cls(
            request_id=found.request_id,
            passages=found.passages,
            confidence=found.confidence,
            **finished_fields(finished),
        )


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


class DocumentResponse(_Wire):
    """A document as stored: the text that every offset points into."""

    document_id: UUID
    uri: str
    title: str
    text: str
    content_type: str
    language: str
    metadata: dict[str, Any]
    page_starts: list[int] = Field(description="The offset at which each page begins; empty without pages")
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, document: StoredDocument) -> Self:
        return cls(
            document_id=document.document_id,
            uri=document.uri,
            title=document.title,
            text=document.text,
            content_type=document.content_type,
            language=document.language,
            metadata=document.metadata,
            page_starts=list(document.page_starts),
            version=document.version,
            updated_at=document.updated_at,
        )


class PartOut(_Wire):
    state: Literal["ready", "unavailable", "not_configured"]


class EndpointOut(_Wire):
    state: Literal["ready", "unavailable"]
    breaker: BreakerState = Field(description="`open`: it failed and is left alone; `half_open`: one call may try")


class ReadinessResponse(_Wire):
    """Whether questions can be served, and each part's own state. Only the database is indispensable."""

    ready: bool
    parts: dict[str, PartOut]
    llm_endpoints: dict[str, EndpointOut] = Field(description="The LLM is ready while one of them is")

    @classmethod
    def of(cls, readiness: Readiness) -> Self:
        parts = {name: PartOut(state=part.state) for name, part in readiness.parts.items()}
        endpoints = {
            name: EndpointOut(state=endpoint.state, breaker=endpoint.breaker)
            for name, endpoint in readiness.llm_endpoints.items()
        }
        return cls(ready=readiness.ready, parts=parts, llm_endpoints=endpoints)


class Alive(_Wire):
    """The process answers."""

    alive: Literal[True] = True
