"""What an explanation is made of: how each leg went, and why passages and a named document stand where they do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from retrieval.domain import Candidate, DensePlan, LexicalPath, Retrieval
from retrieval.search.fusion import FusedPassage
from retrieval.search.legs import DenseFindings, LexicalFindings
from retrieval.search.narrowing import Narrowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a leg read: rows that its scans brought, before permissions refused any, and pages of 8 kB."""

    rows: int
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseExplained:
    """How the search by meaning went. Its rows are vectors read, or those that a walk met."""

    plan: DensePlan
    proposed: int
    examined: Examined


@dataclass(frozen=True, slots=True, kw_only=True)
class WordExplained:
    """A word of the question: `word` as written, empty where it has no place of its own in the question.

    `chunk_count` of the tenant's chunks hold it, seen or not. `looked_up`: chunks that hold `any`, or `all`, of the
    words looked up so are candidates; None when the word only adds to their scores.
    """

    word: str
    language: str
    idf: float
    chunk_count: int
    looked_up: Literal["any", "all"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalExplained:
    """How the search by words went. Its rows are chunks that hold the words looked up."""

    path: LexicalPath
    words: tuple[WordExplained, ...]
    proposed: int
    examined: Examined


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateExplained:
    """A candidate with its places, from 1: in the fused order, and in the final one, which `limit` then cuts."""

    uri: str
    candidate: Candidate
    fused_place: int
    rerank_score: float | None
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A search with all it met on its way: `fused` and `ranked` are its candidates before and after the reranker."""

    retrieval: Retrieval
    narrowing: Narrowing
    dense: DenseFindings | None
    lexical: LexicalFindings
    fused: tuple[FusedPassage, ...]
    ranked: tuple[FusedPassage, ...]

    def candidates(self) -> tuple[CandidateExplained, ...]:
        """Every candidate, in the final order."""
        fused = {found.candidate.key: place for place, found in enumerate(self.fused, start=1)}
        return tuple(
            CandidateExplained(
                uri=found.passage.uri,
                candidate=found.candidate,
                fused_place=fused[found.candidate.key],
                rerank_score=found.rerank_score,
                place=place,
            )
            for place, found in enumerate(self.ranked, start=1)
        )


class Verdict(StrEnum):
    """Why a named document is, or is not, among the passages. Stable codes, part of the HTTP contract."""

    NOT_FOUND = "not_found"
    """No such document; to whom no more is told, also: none that the asker may see."""
    NOT_VISIBLE = "not_visible"
    """It is there, and the asker may not see it."""
    FILTERED = "filtered"
    """It is there to be seen; none of its chunks matches the question's filter."""
    NOT_PROPOSED = "not_proposed"
    """Neither leg proposed any of its chunks."""
    CUT_BY_LIMIT = "cut_by_limit"
    """Others were better, in the fused order already."""
    CUT_BY_RERANKER = "cut_by_reranker"
    """In the fused order it was within the limit; the reranker put others before it."""
    SAYS_THE_SAME = "says_the_same"
    """A passage that was found says the same, and names it among its duplicates."""
    FOUND = "found"
    """It is among the passages."""


class LegReason(StrEnum):
    """Why a leg did, or did not, propose any chunk of a document. Stable codes, part of the HTTP contract."""

    PROPOSED = "proposed"
    BELOW_CANDIDATES = "below_candidates"
    """It ranks below as many chunks as a leg proposes."""
    MISSED_BY_WALK = "missed_by_walk"
    """It ranks high enough; the walk through the vector index did not meet it."""
    NO_WORD = "no_word"
    """It holds none of the question's words."""
    NO_WORD_LOOKED_UP = "no_word_looked_up"
    """It holds only words too common to be looked up beside the rarer ones."""
    NOT_ALL_WORDS = "not_all_words"
    """The words are so common that only chunks with all of those looked up are candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegStanding:
    """A document's best chunk in one leg: its exact score, and its rank among all chunks the asker may see.

    `rank` is None where it was not counted: below rank `RANKS_TOLD`, among very many chunks, or not a candidate.
    `words` are those of the question that the chunk holds, as written; none for the search by meaning.
    """

    ordinal: int
    score: float
    rank: int | None
    reason: LegReason
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentExplained:
    """What became of a named document; nothing but `named` and the verdict where it is not there to be seen.

    `dense` is None also where the search was by words alone. `candidates` are its chunks that a leg proposed.
    """

    named: str
    verdict: Verdict
    dense: LegStanding | None = None
    lexical: LegStanding | None = None
    candidates: tuple[CandidateExplained, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A search and how it came about: `passages` explains those found, in their order; `dense` is None without one.

    `candidates` is how many each leg may propose.
    """

    retrieval: Retrieval
    limit: int
    candidates: int
    dense: DenseExplained | None
    lexical: LexicalExplained
    passages: tuple[CandidateExplained, ...]
    document: DocumentExplained | None = None
