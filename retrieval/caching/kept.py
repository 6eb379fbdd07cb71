"""An answer as it is kept, and how it is fitted to what a later search found."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import TypeAdapter

from retrieval.caching.inquiry import identity
from retrieval.domain import AnswerFinished, Citation, Guarded, RankedPassage, Retrieval, Served
from retrieval.generation.citations import cite
from retrieval.generation.code_spans import CodeSplitter


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCitation:
    """`number` counts in the passages that the answer was written from."""

    number: int
    document_id: UUID
    version: int
    char_start: int
    char_end: int
    quote: str
    support: float
    redacted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSource:
    """A document that an answer was written from, cited or not."""

    document_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answered question without its question. `passages` are the identities of those it was written from, `sources`
    their documents."""

    text: str
    citations: tuple[KeptCitation, ...]
    rejected_citations: int
    endpoint: str
    model: str
    guarded: Guarded
    passages: tuple[str, ...]
    sources: tuple[KeptSource, ...]


KEPT = TypeAdapter(KeptAnswer)


def kept_form(finished: AnswerFinished, retrieval: Retrieval) -> KeptAnswer | None:
    """The answer to be kept; None for one that must not be: refused, without citations, degraded, or not an LLM's."""
    if finished.outcome != "answered" or not finished.citations or finished.degraded or finished.served is None:
        return None
    return KeptAnswer(
        text=finished.text,
        citations=tuple(map(_kept_citation, finished.citations)),
        rejected_citations=finished.rejected_citations,
        endpoint=finished.served.endpoint,
        model=finished.served.model,
        guarded=finished.guarded,
        passages=tuple(identity(ranked.passage) for ranked in retrieval.passages),
        sources=tuple(dict.fromkeys(_source(ranked) for ranked in retrieval.passages)),
    )


def fitted(kept: KeptAnswer, retrieval: Retrieval) -> AnswerFinished | None:
    """The answer with its markers pointing at these passages; None where they do not carry it.

    Each passage it cites must be among them, and none that it was not written from may stand before these: a new
    document could answer better. Its `usage` is None: nothing was called.
    """
    ours = {identity(ranked.passage): ranked for ranked in retrieval.passages}
    cited = {one.number: ours.get(kept.passages[one.number - 1]) for one in kept.citations}
    places = {number: ranked for number, ranked in cited.items() if ranked is not None}
    if len(places) < len(cited) or not _nothing_new(kept, ours, places):
        return None
    text = _renumbered(kept.text, {number: ranked.number for number, ranked in places.items()})
    citations = tuple(_citation(places[one.number], one) for one in kept.citations)
    if text is None or any(new.quote != one.quote for new, one in zip(citations, kept.citations, strict=True)):
        return None
    return AnswerFinished(
        outcome="answered",
        text=text,
        citations=citations,
        rejected_citations=kept.rejected_citations,
        answered_by=kept.model,
        usage=None,
        degraded=retrieval.degraded,
        timings_ms={},
        served=Served(endpoint=kept.endpoint, model=kept.model, attempts=0),
        guarded=kept.guarded,
    )


def _nothing_new(kept: KeptAnswer, ours: Mapping[str, RankedPassage], places: Mapping[int, RankedPassage]) -> bool:
    last = max(ranked.number for ranked in places.values())
    return {name for name, ranked in ours.items() if ranked.number <= last} <= set(kept.passages)


def _source(ranked: RankedPassage) -> KeptSource:
    return KeptSource(document_id=ranked.passage.key.document_id, version=ranked.passage.version)


def _kept_citation(citation: Citation) -> KeptCitation:
    return KeptCitation(
        number=citation.number,
        document_id=citation.document_id,
        version=citation.version,
        char_start=citation.char_start,
        char_end=citation.char_end,
        quote=citation.quote,
        support=citation.support,
        redacted=citation.redacted,
    )


def _citation(ranked: RankedPassage, one: KeptCitation) -> Citation:
    begin = ranked.passage.char_start
    citation = cite(ranked, one.char_start - begin, one.char_end - begin, one.support)
    return replace(citation, quote=one.quote, redacted=True) if one.redacted else citation


_MARKER = re.compile(r"\[(\d{1,3})\]")


def _renumbered(text: str, numbers: Mapping[int, int]) -> str | None:
    """The text with its markers' new numbers; None where one of them has none, or stands in code, which cites nothing
    and cannot be told for certain any more."""
    if all(old == new for old, new in numbers.items()):
        return text
    if _marked(part for part, is_code in _parts(text) if is_code) or not _marked([text]) <= set(numbers):
        return None
    return _MARKER.sub(lambda marker: f"[{numbers[int(marker[1])]}]", text)


def _marked(parts: Iterable[str]) -> set[int]:
    return {int(number) for part in parts for number in _MARKER.findall(part)}


def _parts(text: str) -> Sequence[tuple[str, bool]]:
    splitter = CodeSplitter()
    return (*splitter.feed(text), *splitter.finish())
