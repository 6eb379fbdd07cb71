"""The wire of explanations. Scores are exact here: only keys with the scope `explain` get this far."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import without_nul
from api.schemas.passages import SearchResponse
from api.schemas.questions import SearchRequest
from retrieval.domain import DensePath, LexicalPath
from retrieval.search.explanation import CandidateExplained, DocumentExplained, Explanation, LegReason, Verdict


class _Wire(BaseModel):
    # Read from the records of retrieval/search/explanation.py, whose words these are.
    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class ExplainRequest(SearchRequest):
    """A question to find passages for and, if wished, to explain."""

    explain: bool = Field(False, description="Say how the passages were found; with the scope `explain` only")
    document: Annotated[str, StringConstraints(min_length=1, max_length=600), AfterValidator(without_nul)] | None = (
        Field(None, description="With `explain`: a document's uri or id, to be told why it was or was not found")
    )

    @model_validator(mode="after")
    def _named_to_be_explained(self) -> Self:
        if self.document is not None and not self.explain:
            raise PydanticCustomError("nothing_to_explain", "document is only for explain: true")
        return self


class ExaminedOut(_Wire):
    """What a leg read. Chunks that the asker may not see are counted too."""

    rows: int = Field(
        description="By meaning: vectors read, or met on the walk; by words: chunks that hold those looked up"
    )
    pages: int = Field(description="Pages of 8 kB touched, in memory or not: what the leg cost the database")


class DensePlanOut(_Wire):
    """How the search by meaning was planned."""

    path: DensePath
    visible_chunks: int = Field(description="How many chunks the asker may see, estimated from kept counts")
    matching_chunks: int = Field(description="How many of them match the filter; an estimate unless `counted`")
    counted: bool
    tenant_chunks: int
    indexed: bool = Field(description="Whether the tenant has a vector index")
    ef_search: int = Field(description="How wide the index is, or would have been, walked")


class DenseOut(_Wire):
    """How the search by meaning went."""

    plan: DensePlanOut
    proposed: int = Field(description="How many candidates it proposed")
    examined: ExaminedOut


class WordOut(_Wire):
    """A word of the question, as one language reads it."""

    word: str = Field(description="As written in the question; empty where it has no place of its own there")
    language: str
    idf: float = Field(description="How telling it is")
    chunk_count: int = Field(description="How many chunks of the tenant hold it")
    looked_up: Literal["any", "all"] | None = Field(
        description="Chunks with `any`, or `all`, of the words looked up are candidates; null: it only adds to scores"
    )


class LexicalOut(_Wire):
    """How the search by words went."""

    path: LexicalPath = Field(
        description="`rarest`: the rarest words were looked up, and brought enough; `wider`: more frequent ones too;"
        " `visible`: each visible chunk was read; `no_words`: the question holds stop words only"
    )
    words: list[WordOut]
    proposed: int = Field(description="How many candidates it proposed")
    examined: ExaminedOut


class CandidateOut(_Wire):
    """A candidate in each leg, and its places from 1: fused, and final."""

    document_id: UUID
    uri: str
    ordinal: int = Field(description="Which chunk of the document, from 0")
    dense_rank: int | None = Field(description="null where that leg did not propose it")
    cosine: float
    lexical_rank: int | None = Field(description="null where that leg did not propose it")
    bm25: float = Field(description="As a share of the most that the question's words can bring")
    score: float = Field(description="What the fused order is by")
    fused_place: int
    rerank_score: float | None = Field(description="What the final order is by; null where no reranker read it")
    place: int

    @classmethod
    def of(cls, explained: CandidateExplained) -> Self:
        candidate = explained.candidate
        return cls(
            document_id=candidate.key.document_id,
            uri=explained.uri,
            ordinal=candidate.key.ordinal,
            dense_rank=candidate.dense_rank,
            cosine=candidate.cosine,
            lexical_rank=candidate.lexical_rank,
            bm25=candidate.bm25,
            score=candidate.score,
            fused_place=explained.fused_place,
            rerank_score=explained.rerank_score,
            place=explained.place,
        )


class LegStandingOut(_Wire):
    """The document's best chunk in one leg."""

    ordinal: int = Field(description="Which chunk of the document, from 0")
    score: float = Field(description="Cosine, or BM25 as a share of the most that the question's words can bring")
    rank: int | None = Field(
        description="Among all chunks the asker may see; null where it was not counted, or is none"
    )
    reason: LegReason
    words: list[str] = Field(description="Words of the question that the chunk holds; of the search by words only")


class DocumentOut(_Wire):
    """Why the named document is, or is not, among the passages."""

    named: str
    verdict: Verdict
    dense: LegStandingOut | None = Field(description="null where it is not there, or words alone were searched")
    lexical: LegStandingOut | None = Field(description="null where it is not there")
    candidates: list[CandidateOut] = Field(description="Its chunks that a leg proposed, in their final order")

    @classmethod
    def of(cls, explained: DocumentExplained) -> Self:
        return cls(
            named=explained.named,
            verdict=explained.verdict,
            dense=LegStandingOut.model_validate(explained.dense) if explained.dense else None,
            lexical=LegStandingOut.model_validate(explained.lexical) if explained.lexical else None,
            candidates=[CandidateOut.of(found) for found in explained.candidates],
        )


class ExplanationOut(_Wire):
    """How the passages were found. The time each leg took is in `timings_ms`."""

    candidates: int = Field(description="How many candidates each leg may propose")
    dense: DenseOut | None = Field(description="null where words alone were searched")
    lexical: LexicalOut
    passages: list[CandidateOut] = Field(description="In the order of the response's passages")
    document: DocumentOut | None = Field(description="null where none was named")

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        return cls(
            candidates=explanation.candidates,
            dense=DenseOut.model_validate(explanation.dense) if explanation.dense else None,
            lexical=LexicalOut.model_validate(explanation.lexical),
            passages=[CandidateOut.of(found) for found in explanation.passages],
            document=DocumentOut.of(explanation.document) if explanation.document else None,
        )


class ExplainedResponse(SearchResponse):
    """What a question found, best first, and how."""

    explain: ExplanationOut

    @classmethod
    def explaining(cls, explanation: Explanation, request_id: str) -> Self:
        found = SearchResponse.of(explanation.retrieval, request_id)
        return cls(**dict(found), explain=ExplanationOut.of(explanation))
