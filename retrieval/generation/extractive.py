"""Answers without a language model: the sentences that answer best, quoted exactly, each with its citation."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log

from retrieval.domain import Citation, CitationFound, RankedPassage, TextDelta
from retrieval.errors import EmbedderUnavailable
from retrieval.generation.citations import cite
from retrieval.generation.markers import without_markers
from retrieval.generation.sentences import Unit, credit, terms, units, weight
from retrieval.models.protocols import Embedder, Vectors

MOST_SENTENCES = 4
MOST_EMBEDDED = 24
"""Sentences embedded per question: the best by words. MiniLM takes about 0.3 s of one core for them."""

# What a sentence is worth. Chosen on 120 golden questions of the sample corpora (none held out), in steps of 0.2:
# .88 of the wanted quotes are among the extracts with MiniLM, .77 by words alone, at 2.1 and 2.0 extracts an answer.
# The shares move that by .03; without the headings in what is embedded it falls by .04.
_WORDS, _MEANING, _RANK = 0.4, 0.5, 0.1
_CONTEXT_CREDIT = 0.4
"""What a question term is worth that stands only in the headings above the sentence."""

_LEAST_COSINE = 0.3
"""Below this, with no word in common, a sentence is not about the question (MiniLM's unrelated pairs: 0.0-0.25)."""

_NEW_TERMS = 0.2
"""A further sentence must answer at least this share of the question that no earlier one answers, …"""
_NEARLY_BEST = 0.75
"""… or be nearly as good as the best."""
_WORTH_ADDING = 0.4
_DUPLICATE = 0.8

_BOILERPLATE = re.compile(
    r"(page|seite)\s+\d+|all rights reserved|alle rechte vorbehalten|copyright|©|(last )?(updated|modified)\b.{0,30}"
    r"|confidential|vertraulich|table of contents|inhaltsverzeichnis",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """A sentence or table row of a passage: `passage.text[start:end]`."""

    ranked: RankedPassage
    start: int
    end: int

    @property
    def quote(self) -> str:
        return self.ranked.passage.text[self.start : self.end]

    @property
    def citation(self) -> Citation:
        """Its support is 1: the claim is the quote."""
        return cite(self.ranked, self.start, self.end, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractiveAnswer:
    """Extracts, best first; empty when nothing in the passages has to do with the question."""

    sentences: tuple[Extract, ...]
    used_meaning: bool = True
    """False when words alone decided: no embedder, no vector of the question, or no answer in time."""

    @property
    def text(self) -> str:
        """One extract per line, word for word but for markers of its own, each followed by ` [n]`."""
        return "".join(event.text for event in self.events() if isinstance(event, TextDelta))

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(sentence.citation for sentence in self.sentences)

    def events(self) -> Iterator[TextDelta | CitationFound]:
        """The answer as a stream, like a language model's after verification."""
        for index, sentence in enumerate(self.sentences):
            separator = "\n" if index else ""
            # A PDF's lines end in the middle of sentences: the citation's quote keeps that, the answer need not.
            # Nor the `[3]` of a document, which would look like a marker of ours.
            quote = without_markers(" ".join(sentence.quote.split()))
            yield TextDelta(text=f"{separator}{quote} [{sentence.ranked.number}]")
            yield CitationFound(citation=sentence.citation)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    ranked: RankedPassage
    unit: Unit
    context: frozenset[str]
    """Terms of the title and headings above it."""
    context_text: str
    score: float = 0.0

    @cached_property
    def text(self) -> str:
        return self.ranked.passage.text[self.unit.start : self.unit.end]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(terms(self.text))


class ExtractiveAnswerer:
    """Picks one to four extracts. With an embedder, meaning counts beside words, if it answers within `seconds`."""

    def __init__(self, embedder: Embedder | None, seconds: float = 2.0) -> None:
        self._embedder = embedder
        self._seconds = seconds

    async def answer(self, question: str, passages: Sequence[RankedPassage], asked: Vectors | None) -> ExtractiveAnswer:
        """The extracts that answer best; `asked` is the question's vector, None where there is none.

        Never raises for an embedder that is down or late: words alone decide then.
        """
        by_words, rarity = await asyncio.to_thread(_ordered, question, passages)
        cosines = await self._cosines(asked, by_words[:MOST_EMBEDDED])
        chosen = await asyncio.to_thread(_best, by_words, rarity, cosines)
        return ExtractiveAnswer(
            sentences=tuple(Extract(ranked=one.ranked, start=one.unit.start, end=one.unit.end) for one in chosen),
            used_meaning=cosines is not None,
        )

    async def _cosines(self, asked: Vectors | None, candidates: Sequence[_Candidate]) -> list[float] | None:
        """A cosine for each candidate, or None when there is no telling."""
        if not candidates:
            return []
        if self._embedder is None or asked is None:
            return None
        texts = [f"{one.context_text}: {one.text}" for one in candidates]
        try:
            vectors = await asyncio.wait_for(self._embedder.embed_now(texts), self._seconds)
        except (EmbedderUnavailable, TimeoutError):
            return None
        return [float(cosine) for cosine in vectors @ asked]


def _ordered(question: str, passages: Sequence[RankedPassage]) -> tuple[list[_Candidate], Mapping[str, float]]:
    """All candidates, the best by words first, and what the question's terms weigh."""
    candidates = _candidates(passages)
    rarity = _rarity(question, candidates)
    return sorted(candidates, key=lambda one: _by_words(one, rarity), reverse=True), rarity


def _best(
    by_words: Sequence[_Candidate], rarity: Mapping[str, float], cosines: list[float] | None
) -> Sequence[_Candidate]:
    scored = [_scored(one, rarity, cosine) for one, cosine in _paired(by_words, cosines)]
    return _choose(sorted((one for one in scored if one.score > 0), key=lambda one: -one.score), rarity)


def _paired(candidates: Sequence[_Candidate], cosines: list[float] | None) -> Iterator[tuple[_Candidate, float | None]]:
    """Candidates with their cosine; None for all when there is no embedder. Those not embedded are dropped."""
    if cosines is None:
        return ((one, None) for one in candidates)
    return iter(zip(candidates, cosines, strict=False))


def _candidates(passages: Sequence[RankedPassage]) -> list[_Candidate]:
    found: list[_Candidate] = []
    for ranked in passages:
        context_text = ": ".join((ranked.passage.title, *ranked.passage.heading_path))
        for unit in units(ranked.passage.text):
            if unit.kind == "heading":
                continue
            one = _Candidate(
                ranked=ranked, unit=unit, context=frozenset(terms(context_text)), context_text=context_text
            )
            if len(one.terms) >= 2 and not _BOILERPLATE.match(one.text):
                found.append(one)
    return found


def _rarity(question: str, candidates: Sequence[_Candidate]) -> Mapping[str, float]:
    """Weights of the question's terms that occur in the candidates, as inverse document frequency:
    w = weight · ln(1 + (N - df + ½) / (df + ½)), BM25's (Robertson & Zaragoza 2009, eq. 3.3, floored above 0)."""
    asked = terms(question)
    counted = Counter(term for one in candidates for term in asked if credit(term, one.terms | one.context))
    total = len(candidates)
    return {
        term: weight(term) * log(1 + (total - counted[term] + 0.5) / (counted[term] + 0.5))
        for term in asked
        if counted[term]
    }


def _by_words(one: _Candidate, asked: Mapping[str, float]) -> float:
    """Share in [0, 1] of the question's weight that the candidate covers, headings counting less; 0 without a word."""
    if not any(credit(term, one.terms) for term in asked):
        return 0.0
    covered = sum(
        rarity * max(credit(term, one.terms), _CONTEXT_CREDIT * credit(term, one.context))
        for term, rarity in asked.items()
    )
    return covered / sum(asked.values())


def _scored(one: _Candidate, asked: Mapping[str, float], cosine: float | None) -> _Candidate:
    by_words = _by_words(one, asked)
    if by_words == 0 and (cosine is None or cosine < _LEAST_COSINE):
        return one
    meaning = by_words if cosine is None else max(0.0, cosine)
    return replace(one, score=_WORDS * by_words + _MEANING * meaning + _RANK / one.ranked.number)


def _choose(best_first: Sequence[_Candidate], asked: Mapping[str, float]) -> list[_Candidate]:
    """The best, then those that answer what is still open or are nearly as good, without saying the same twice."""
    chosen: list[_Candidate] = []
    open_terms = dict(asked)
    for one in best_first:
        if chosen and not _adds(one, chosen, open_terms, asked):
            continue
        chosen.append(one)
        open_terms = {term: rarity for term, rarity in open_terms.items() if not credit(term, one.terms)}
        if len(chosen) == MOST_SENTENCES:
            break
    return chosen


def _adds(
    one: _Candidate, chosen: Sequence[_Candidate], open_terms: Mapping[str, float], asked: Mapping[str, float]
) -> bool:
    best = chosen[0].score
    if one.score < _WORTH_ADDING * best or any(_same(one, other) for other in chosen):
        return False
    new = sum(rarity for term, rarity in open_terms.items() if credit(term, one.terms))
    return new >= _NEW_TERMS * sum(asked.values()) > 0 or one.score >= _NEARLY_BEST * best


def _same(one: _Candidate, other: _Candidate) -> bool:
    """Near-duplicates: nearly the same words and all the same numbers. Two editions that differ in a number do not."""
    numbers = {term for term in one.terms ^ other.terms if any(map(str.isdigit, term))}
    return not numbers and len(one.terms & other.terms) >= _DUPLICATE * len(one.terms | other.terms)
