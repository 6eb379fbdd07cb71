"""What is put before a judge: a question, an answer in sentences, and what the answer points to."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from evals.runner import Served
from retrieval.domain import Citation, Passage
from retrieval.generation.sentences import units


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A passage under the number by which the answer calls it."""

    number: int
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """Words of the passage of that number, which the answer cites."""

    number: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """All a judge is shown. Sentences and citations are judged by their places, counted from 1."""

    question: str
    sources: tuple[Source, ...]
    sentences: tuple[str, ...]
    citations: tuple[Quoted, ...]

    def reordered(self) -> "Submission":
        """The same with its passages listed the other way round, under the numbers that they had."""
        return replace(self, sources=self.sources[::-1])


def submission_of(question: str, served: Served) -> Submission:
    """An answer as its reader got it, with the passages that it cites; with all it was given where it cites none."""
    cited = tuple(_cited(served))
    given = tuple(_source(number, passage) for number, passage in enumerate(served.passages, 1))
    return Submission(
        question=question,
        sources=cited if served.citations else given,
        sentences=sentences_of(served.text),
        citations=tuple(Quoted(number=each.number, quote=each.quote) for each in served.citations),
    )


def sentences_of(text: str) -> tuple[str, ...]:
    """Its sentences, table rows and list items; none reaches over the end of a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [[line[unit.start : unit.end] for unit in units(line)] or [line.strip()] for line in lines]
    return tuple(sentence for of_line in found for sentence in of_line)


def _cited(served: Served) -> Iterator[Source]:
    """Each cited number's passages, once each; a place is looked up in the passages, whatever numbers they bear."""
    seen: set[tuple[int, str]] = set()
    for citation in served.citations:
        passage = next((each for each in served.passages if _holds(each, citation)), None)
        source = Source(number=citation.number, title=citation.title, text=passage.text if passage else citation.quote)
        if (source.number, source.text) not in seen:
            seen.add((source.number, source.text))
            yield source


def _holds(passage: Passage, citation: Citation) -> bool:
    same = (passage.key.document_id, passage.version) == (citation.document_id, citation.version)
    return same and passage.char_start <= citation.char_start and citation.char_end <= passage.char_end


def _source(number: int, passage: Passage) -> Source:
    return Source(number=number, title=passage.title, text=passage.text)
