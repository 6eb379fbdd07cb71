"""The nouns of a question's journey, one frozen record per stage.

Question → Candidate → Passage → RankedPassage → AnswerEvent,
which is PassagesFound, then StepTaken where the model used tools, then TextDelta and CitationFound, then AnswerFinished
or AnswerFailed.

Offsets are Unicode code points into the document's stored text, half open: `text[char_start:char_end]`.
Pages count from 1.
"""

import secrets
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from retrieval.access import Caller
from retrieval.filters import Filter


class Degradation(StrEnum):
    """What gave way while this question was served. Stable codes, part of the HTTP contract."""

    EMBEDDER_UNAVAILABLE = "embedder_unavailable"
    """The question could not be embedded: the passages were found by words alone."""
    RERANKER_UNAVAILABLE = "reranker_unavailable"
    """A reranker is configured but did not score: the passages stand in fused order."""
    RERANKER_PARTIAL = "reranker_partial"
    """The reranker's time ran out: passages it did not score keep their fused place."""
    LLM_UNAVAILABLE = "llm_unavailable"
    """An LLM is configured but did not answer: the answer is quoted from the passages. Also where JSON is asked for,
    which cannot be quoted, and there is no LLM."""
    REWRITE_UNAVAILABLE = "rewrite_unavailable"
    """An LLM is configured but did not word the follow-up question anew: words of the conversation were added to it."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """A budget has too little left to ask the LLM: the answer is quoted from the passages."""


class Tool(StrEnum):
    """What a model may do besides writing: read, as the caller. Stable names, part of the HTTP contract."""

    SEARCH = "search"
    OPEN_DOCUMENT = "open_document"
    LIST_DOCUMENTS = "list_documents"


class Surroundings(StrEnum):
    """What is given with a passage of what stands around it. Stable names, part of the HTTP contract."""

    NONE = "none"
    NEIGHBOURS = "neighbours"
    """The chunk before it and the one after it."""
    SECTION = "section"
    """The rest of the section that it begins in, and of that which it ends in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """An earlier turn of a conversation, as the caller tells it: nothing of it is known to be true."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChunkKey:
    """A chunk's identity inside its tenant. Ordered, so that ties are broken the same way every time."""

    document_id: UUID
    ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a question came from, for the ledger: the request's id and the API key's (empty: none)."""

    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """JSON that an answer has to be. `strict` is handed on: some servers then keep to the schema word for word."""

    name: str
    schema: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as asked, by whom, how many passages are wanted, and what they must be like (None: anything).

    With a `response_format` the answer is JSON, else text. `history` are the turns before it, oldest first; `tools`
    what a model that answers it may use.
    """

    text: str
    caller: Caller
    limit: int
    filter: Filter | None = None
    origin: Origin = field(default_factory=Origin, compare=False)
    response_format: ResponseFormat | None = None
    history: tuple[Utterance, ...] = ()
    tools: frozenset[Tool] = frozenset()
    cache: bool = True
    """False: the answer is written for this question alone, and not kept."""
    surroundings: Surroundings = Surroundings.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that a search leg proposed, with what each leg said of it.

    A rank (from 1) is None when that leg did not propose the chunk; both scores are exact all the same:
    `cosine` in [-1, 1] (0 when the question has no embedding), `bm25` ≥ 0.
    """

    key: ChunkKey
    dense_rank: int | None
    lexical_rank: int | None
    cosine: float
    bm25: float
    score: float


class DensePath(StrEnum):
    """How the nearest chunks were found. Stable codes, part of the HTTP contract."""

    EXACT = "exact"
    """Every visible chunk was compared."""
    INDEX = "index"
    """The tenant's vector index was walked."""
    INDEX_COMPLETED = "index_completed"
    """The walk met too few of the chunks in question, and every one was compared after all."""
    NOTHING = "nothing"
    """None of the visible chunks matches the filter: nothing was searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DensePlan:
    """The path, and what it was chosen on: visible chunks (an estimate) of how many, how many of them match the filter
    (all, without one; an estimate unless `counted`), index or none.

    A walk, `ef_search` wide, takes the `walked` nearest chunks, of which at least `expected` have to match.
    """

    path: DensePath
    visible_chunks: int
    matching_chunks: int
    counted: bool
    tenant_chunks: int
    indexed: bool
    ef_search: int
    walked: int
    expected: int


class LexicalPath(StrEnum):
    """How chunks were found by words. Stable codes."""

    NO_WORDS = "no_words"
    """The question holds nothing but stop words: it was searched by meaning alone."""
    RAREST = "rarest"
    """Its rarest words were looked up; they brought enough, or there are no others."""
    VISIBLE = "visible"
    """They did not, and the caller may see so few chunks that each was read."""
    WIDER = "wider"
    """They did not, and more frequent words were looked up as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """From this offset of the document on, its text stands under these headings."""

    start: int
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Where one chunk, or several that follow each other, stand, and their text, the stored text's slice: what a
    citation points into. `key` is the chunk's, or that of the best one.

    It may reach over small sections and page ends: `heading_path`, `first_page` and `last_page` are those of the
    whole; `sections` and `page_starts` (offsets at which further pages begin inside it) place each part of it.
    `lead` is what the text goes on from, its table's header or its list's lead-in: not a part of it, nor to be cited.
    """

    key: ChunkKey
    uri: str
    version: int
    title: str
    heading_path: tuple[str, ...]
    text: str
    char_start: int
    char_end: int
    first_page: int | None
    last_page: int | None
    sections: tuple[Section, ...] = ()
    page_starts: tuple[int, ...] = ()
    lead: str = ""

    @property
    def said_over_it(self) -> tuple[str, ...]:
        """What stands over the text and belongs to it: title, headings, what it goes on from."""
        return self.title, *self.heading_path, self.lead

    def headings_at(self, offset: int) -> tuple[str, ...]:
        """The headings over this offset of the document."""
        at = bisect_right(self.sections, offset, key=lambda section: section.start)
        return self.sections[at - 1].heading_path if at else self.heading_path

    def page_at(self, offset: int) -> int | None:
        """The page this offset of the document is on; None where the format has no pages."""
        return None if self.first_page is None else self.first_page + bisect_right(self.page_starts, offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPassage:
    """A passage at its final place. `number` (from 1) is what `[n]` in an answer refers to.

    `rerank_score` is what the order is by where a reranker read the passage; it only compares within one question.
    `duplicates` are other documents the caller may see that say the same; their passages were moved behind this one.
    """

    number: int
    passage: Passage
    candidate: Candidate
    rerank_score: float | None = None
    duplicates: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What a question found: passages best first, how sure the search is, and what gave way or took time.

    `confidence` in [0, 1] is an absolute number to refuse on: how well the best passage fits (see search/fusion.py).
    """

    passages: tuple[RankedPassage, ...]
    confidence: float
    degraded: tuple[Degradation, ...]
    timings_ms: Mapping[str, float]
    embedding: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """The question's vector, for whoever looks further; None when it was found by words alone."""
    plan: DensePlan | None = None
    """How the search by meaning went; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A verified pointer into a document: `quote` is the stored text of this version at exactly this span.

    `support` in [0, 1]: the share of the claim's content words that stand in the quote.
    """

    number: int
    document_id: UUID
    version: int
    uri: str
    title: str
    heading_path: tuple[str, ...]
    first_page: int | None
    last_page: int | None
    char_start: int
    char_end: int
    quote: str
    support: float
    redacted: bool = False
    """Something was taken out of the quote; its span is still that of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens an LLM call took; `estimated` when the provider did not say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated=self.estimated or other.estimated,
        )


NOTHING_SPENT = Usage(prompt_tokens=0, completion_tokens=0, estimated=False)


Tier = Literal["small", "large"]


class TierReason(StrEnum):
    """Why this tier of models answered. Stable codes, part of the HTTP contract."""

    ROUTED_SIMPLE = "routed_simple"
    """Nothing about the question asks for a large model."""
    ROUTED_LONG = "routed_long"
    ROUTED_SEVERAL_QUESTIONS = "routed_several_questions"
    ROUTED_COMPARISON = "routed_comparison"
    """It compares, or asks for everything of a kind."""
    ROUTED_EXPLANATION = "routed_explanation"
    """It asks why, or how something works."""
    ROUTED_TOOLS = "routed_tools"
    """The model may call tools: what it has to read is not known beforehand."""
    ROUTED_LOW_CONFIDENCE = "routed_low_confidence"
    """The passages fit poorly: what they say has to be read closely."""
    ESCALATED_NO_CITATION = "escalated_no_citation"
    """The small model's answer had no citation that holds."""
    ESCALATED_LOW_SUPPORT = "escalated_low_support"
    """Its citations hold, but hardly say what the answer says."""
    ESCALATED_DECLINED = "escalated_declined"
    """It said that it does not know, although the passages fit well."""
    ESCALATED_SCHEMA_INVALID = "escalated_schema_invalid"
    """Its JSON did not fit the schema."""
    ESCALATED_UNAVAILABLE = "escalated_unavailable"
    """No small model answered."""
    LARGE_UNAVAILABLE = "large_unavailable"
    """It was a question for a large model, and none answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Which endpoint wrote an answer, with which model, and how many calls to any endpoint that took.

    Where there are a small and a large tier: which one it is of, and why that one answered.
    """

    endpoint: str
    model: str
    attempts: int
    tier: Tier | None = None
    reason: TierReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesFound:
    """`question_asked` is what was searched for; None: the question itself."""

    retrieval: Retrieval
    question_asked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """A tool that the model called: what came of it, or the code of why it was refused.

    `passages` are those that are new with it, numbered on from all found before; `listed` are the documents, each with
    its version, of which the model was told no more than what they are called. `tool` is a `Tool`'s name, or `unknown`;
    `arguments` are empty where they could not be read.
    """

    number: int
    tool: str
    arguments: Mapping[str, object]
    found: int
    passages: tuple[RankedPassage, ...] = ()
    listed: tuple[tuple[UUID, int], ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationFound:
    citation: Citation


Outcome = Literal["answered", "unsupported", "refused"]
"""`refused`: nothing the caller may see answers the question, and we say so. `unsupported`: the LLM wrote something,
but no citation of it holds; it may also be its own way of saying that it does not know."""


CacheUse = Literal["miss", "exact", "semantic", "shared", "bypass"]
"""`exact`: kept from the same question over the same passages; `semantic`: from nearly the same one; `shared`: written
for another asker while this one waited; `miss`: written, for want of these; `bypass`: neither looked for nor kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """How often something was taken out of an answer that may not leave: links to what no cited document names,
    credentials, by policy personal data, our own instructions."""

    links: int = 0
    secrets: int = 0
    pii: int = 0
    instructions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFinished:
    """The end of a good stream.

    `answered_by` is the LLM's model name, `extractive`, or `search` when too little was found to answer from.
    `rejected_citations` counts markers that pointed nowhere or at words that are not there; they were taken
    out of the text.
    """

    outcome: Outcome
    text: str
    citations: tuple[Citation, ...]
    rejected_citations: int
    answered_by: str
    usage: Usage | None
    degraded: tuple[Degradation, ...]
    timings_ms: Mapping[str, float]
    served: Served | None = None
    """None when no LLM wrote it."""
    cost_usd: Decimal | None = None
    """What all calls to LLMs for it cost, failed ones too; None when none was made."""
    structured: Any = None
    """The JSON that was asked for; None where none was, or none could be given."""
    guarded: Guarded = Guarded()
    cache: CacheUse = "bypass"
    """Where it is not written anew, `usage` is None and `served.attempts` 0: nothing was called, nothing is owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFailed:
    """The stream broke after its first token; what was sent stands, nothing more will come.

    `reset_at`: when asking again may help, where that is known.
    """

    code: str
    message: str
    reset_at: datetime | None = None


AnswerEvent = PassagesFound | StepTaken | TextDelta | CitationFound | AnswerFinished | AnswerFailed
