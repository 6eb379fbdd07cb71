"""Answers made up from the golden ones, whose grades are known: what a judge's own word is measured by.

Each golden answer makes three: with the passages that say so (founded, to the point), with passages of documents that
do not answer (made up, to the point), and another question's answer with its passages (founded, beside the point).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evals.dataset import SEED, Case, GoldenAnswer
from evals.judging.submission import Quoted, Source, Submission, sentences_of
from evals.judging.verdict import Dimension
from evals.runner import Asked
from retrieval.domain import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A submission, and by dimension whether it is good."""

    submission: Submission
    good: Mapping[Dimension, bool]


def controls(asked: Sequence[Asked], golden: int) -> tuple[Control, ...]:
    """Three for each of at most `golden` golden answers, drawn with a fixed seed."""
    answerable = [each for each in asked if each.case.answers]
    drawn = random.Random(SEED).sample(answerable, min(golden, len(answerable)))  # noqa: S311 - not a secret
    return tuple(control for each in drawn for control in _of(each, answerable))


def golden_relevance(asked: Asked) -> bool | None:
    """Whether the answer given is to the point, by the golden ones; None where they do not tell.

    Yes, where it cites a golden answer's words. No, where there is no answer to be had, or it cites none of the
    documents that are about it.
    """
    case, served = asked.case, asked.served
    if served is None:
        return None
    if any(answer.is_cited_by(cited.uri, cited.quote) for cited in served.citations for answer in case.answers):
        return True
    return None if any(_is_about(cited.uri, case) for cited in served.citations) else False


def _of(asked: Asked, answerable: Sequence[Asked]) -> Iterator[Control]:
    case = asked.case
    yield _control(case, _founded(asked), founded=True, relevant=True)
    beside = [passage for passage in asked.passages if _is_beside(passage, case)]
    if len(beside) >= len(case.answers):
        yield _control(case, list(zip(case.answers, beside, strict=False)), founded=False, relevant=True)
    if others := [each for each in answerable if _are_apart(each.case, case)]:
        other = random.Random(case.case_id).choice(others)  # noqa: S311 - not a secret
        yield _control(case, _founded(other), founded=True, relevant=False)


def _control(
    case: Case, parts: Sequence[tuple[GoldenAnswer, Passage | None]], *, founded: bool, relevant: bool
) -> Control:
    """The golden answers one after another, each citing its passage."""
    numbered = list(enumerate(parts, 1))
    text = "\n".join(f"{_line(answer.quote)} [{number}]" for number, (answer, _) in numbered)
    submission = Submission(
        question=case.text,
        sources=tuple(_source(number, answer, passage) for number, (answer, passage) in numbered),
        sentences=sentences_of(text),
        citations=tuple(
            Quoted(number=number, quote=answer.quote if founded else _first_words(passage))
            for number, (answer, passage) in numbered
        ),
    )
    good = {Dimension.GROUNDEDNESS: founded, Dimension.CITATION_SUPPORT: founded, Dimension.RELEVANCE: relevant}
    return Control(submission=submission, good=good)


def _founded(asked: Asked) -> list[tuple[GoldenAnswer, Passage | None]]:
    """Each golden answer with the passage that was found for it, if it was."""
    found = asked.passages
    return [
        (answer, next((each for each in found if answer.stands_in(each.uri, each.text)), None))
        for answer in asked.case.answers
    ]


def _source(number: int, answer: GoldenAnswer, passage: Passage | None) -> Source:
    if passage is None:
        return Source(number=number, title="", text=answer.quote)
    return Source(number=number, title=passage.title, text=passage.text)


def _first_words(passage: Passage | None) -> str:
    return next(iter(sentences_of(passage.text)), "") if passage else ""


def _line(quote: str) -> str:
    return " ".join(quote.split())


def _is_about(uri: str, case: Case) -> bool:
    return case.grades.get(uri, 0) > 0 or uri in case.neutral


def _is_beside(passage: Passage, case: Case) -> bool:
    """Of a document that is not about it, and without the answer's words, which may stand there by chance."""
    said = any(answer.stands_in(answer.uri, passage.text) for answer in case.answers)
    return not said and not _is_about(passage.uri, case)


def _are_apart(one: Case, other: Case) -> bool:
    """Of one tenant, and no document is about both."""
    about = {uri for case in (one, other) for uri in (*case.grades, *case.neutral)}
    return one.caller.tenant == other.caller.tenant and not any(
        _is_about(uri, one) and _is_about(uri, other) for uri in about
    )
