"""The question's words and their weights: BM25's other half.

A chunk carries, per word, tf / (tf + k1 (1 - b + b length / average)), written once at ingest (ingest/sql). The
question brings idf = ln(1 + (N - df + 0.5) / (df + 0.5)) (Robertson & Zaragoza 2009, in Lucene's form). Their
inner product is BM25. Divided by the sum of the question's idf, which it cannot exceed, it is a share in [0, 1]
that means the same for every question: "how much of what was asked stands in this chunk".
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from retrieval.database.statements import tenant_statement
from retrieval.database.store import CallerSession

_QUESTION_TERMS = tenant_statement("retrieval.search", "question_terms")
_DIMENSIONS = 1_000_000_000

POSTINGS_BOUND = 5_000
"""Chunks that the words looked up first may stand in: recall@10 .953 of exact BM25 at 1/10 of the time."""
WIDER_BOUND = 50_000
"""The same for the second look, where the first brought too little."""
MOST_TERMS = 64
"""Words of a question that are looked up at first, per language: its rarest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A word of the question as one language reads it, and in how many of that language's chunks it stands."""

    language: str
    term_key: int
    dimension: int
    chunk_count: int
    language_chunk_count: int

    @property
    def idf(self) -> float:
        """How telling the word is: ≥ 0, largest when no chunk holds it."""
        rest = self.language_chunk_count - self.chunk_count
        return math.log1p((max(rest, 0) + 0.5) / (self.chunk_count + 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Chunks worth scoring: those that hold any, or else all, of these words."""

    term_keys: tuple[int, ...]
    all_of_them: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The question as one language reads it: how many words that is, and those that some chunk holds, rarest first."""

    words: int
    known: tuple[Term, ...]

    def within(self, bound: int) -> Lookup:
        """The rarest words whose chunks together stay within the bound, and always the rarest."""
        postings = accumulate(term.chunk_count for term in self.known[:MOST_TERMS])
        taken = sum(so_far <= bound for so_far in postings)
        return _any(self.known[: max(1, taken)])


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionTerms:
    """The question as the lexical leg asks it: `weights` in sparsevec's text form, and where it may look."""

    terms: tuple[Term, ...]
    weights: str
    readings: tuple[Reading, ...]

    @property
    def words(self) -> int:
        """How many words the question has; 0 where each is a stop word in every language of the tenant."""
        return max((reading.words for reading in self.readings), default=0)

    @property
    def rarest(self) -> tuple[Lookup, ...]:
        """The rarest words within the bound; where one alone is too common, both of the two rarest."""
        return tuple(
            _all(reading.known[:2])
            if reading.known[0].chunk_count > POSTINGS_BOUND and len(reading.known) > 1
            else reading.within(POSTINGS_BOUND)
            for reading in self._known
        )

    @property
    def wider(self) -> tuple[Lookup, ...]:
        """More frequent words too, within the wider bound."""
        return tuple(reading.within(WIDER_BOUND) for reading in self._known)

    @property
    def every(self) -> tuple[Lookup, ...]:
        """All words."""
        return tuple(_any(reading.known) for reading in self._known)

    @property
    def together(self) -> tuple[Lookup, ...]:
        """All words at once, in each language that knows them all, unless even the rarest is too common."""
        return tuple(
            _all(reading.known)
            for reading in self._known
            if len(reading.known) == reading.words and reading.known[0].chunk_count <= WIDER_BOUND
        )

    def postings(self, lookup: Lookup) -> int:
        """How many entries of the word index a lookup reads, by the kept counts."""
        return sum(term.chunk_count for term in self.terms if term.term_key in lookup.term_keys)

    @property
    def _known(self) -> tuple[Reading, ...]:
        return tuple(reading for reading in self.readings if reading.known)


async def question_terms(session: CallerSession, question: str) -> QuestionTerms:
    """The question's words, weighed. Raises `StoreUnavailable`."""
    rows = await session.rows(Term, _QUESTION_TERMS, question=question)
    languages = [list(terms) for _, terms in groupby(rows, key=lambda term: term.language)]
    weights = {dimension: weight for terms in languages for dimension, weight in _weights(terms)}
    return QuestionTerms(
        terms=tuple(rows),
        weights="{" + ",".join(f"{at}:{weight:.6g}" for at, weight in sorted(weights.items())) + f"}}/{_DIMENSIONS}",
        readings=tuple(Reading(words=len(terms), known=_known(terms)) for terms in languages),
    )


def _weights(terms: Sequence[Term]) -> Iterator[tuple[int, float]]:
    """Each word's share of the mass. Words that no chunk holds only make the others' shares smaller."""
    mass = sum(term.idf for term in terms)
    for term in _known(terms):
        yield term.dimension, term.idf / mass


def _known(terms: Sequence[Term]) -> tuple[Term, ...]:
    held = (term for term in terms if term.chunk_count > 0)
    return tuple(sorted(held, key=lambda term: (term.chunk_count, term.term_key)))


def _any(terms: Sequence[Term]) -> Lookup:
    return Lookup(term_keys=tuple(term.term_key for term in terms), all_of_them=False)


def _all(terms: Sequence[Term]) -> Lookup:
    return Lookup(term_keys=tuple(term.term_key for term in terms), all_of_them=True)
