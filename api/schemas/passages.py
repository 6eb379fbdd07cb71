"""What a question found."""

from typing import Any, Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Rounded, Wire
from retrieval.domain import Candidate, Degradation, DensePath, DensePlan, RankedPassage, Retrieval


class Place(Wire):
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


class PassageOut(Place):
    """A found passage, one chunk or several that follow each other, with its rank in each search leg."""

    number: int = Field(description="From 1: what `[n]` in an answer refers to")
    goes_on_from: str = Field(
        description="The header of the table, or the lead-in of the list, in the middle of which the text begins; or ''"
    )
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
            goes_on_from=passage.lead,
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


class PlanOut(Wire):
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


class SearchResponse(Wire):
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
