"""What is measured, per question. Every value is in [0, 1]; a question that a measure says nothing about has none.

Rankings are of documents, each at the place of its best passage: nDCG@10 with linear gains (Järvelin & Kekäläinen
2002), recall and the reciprocal rank of the first relevant one, all by ir_measures (pytrec_eval).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np

from evals.dataset import Case, Dataset, GoldenAnswer
from evals.runner import Asked, Served
from retrieval.domain import Citation

Values = Mapping[str, Mapping[str, float]]
"""Measure → question id → value."""

_RANKING = {
    "nDCG@10": ir_measures.nDCG @ 10,
    "recall@5": ir_measures.R @ 5,
    "recall@10": ir_measures.R @ 10,
    "MRR@10": ir_measures.RR @ 10,
}
CITATION_VALIDITY = "citation validity"
LOWER_IS_BETTER = frozenset({"false refusals"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Something of a document that the person may not see, found in a `passage` or a `citation`."""

    case_id: str
    uri: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Wall-clock milliseconds per question while `runner.AT_ONCE` questions run at once."""

    p50: float
    p95: float


def measure(asked: Sequence[Asked]) -> Values:
    """Every measure of every question it applies to."""
    values: dict[str, dict[str, float]] = {**_ranking_values(asked)}
    for each in asked:
        for name, value in _answer_values(each):
            values.setdefault(name, {})[each.case.case_id] = value
    return values


def mean(values: Iterable[float]) -> float:
    """The mean; NaN of nothing."""
    found = list(values)
    return float(np.mean(found)) if found else float("nan")


def latency(milliseconds: Iterable[float]) -> Latency | None:
    """Median and 95th percentile; None of nothing."""
    found = list(milliseconds)
    if not found:
        return None
    p50, p95 = np.percentile(found, [50, 95])
    return Latency(p50=float(p50), p95=float(p95))


def leaks(dataset: Dataset, asked: Iterable[Asked]) -> tuple[Leak, ...]:
    """Passages and citations of documents the person may not see by their owner's word, or of another tenant."""
    return tuple(
        Leak(case_id=each.case.case_id, uri=uri, place=place)
        for each in asked
        for place, uri in dict.fromkeys(_shown(each))
        if not dataset.may_see(each.case.caller, uri)
    )


def _shown(asked: Asked) -> Iterator[tuple[str, str]]:
    served = asked.served
    for passage in (*asked.passages, *(served.passages if served else ())):
        yield "passage", passage.uri
    for citation in served.citations if served else ():
        yield "citation", citation.uri


def document_ranking(asked: Asked) -> list[str]:
    """Uris in the order of their best passages, without the neutral ones."""
    return list(dict.fromkeys(passage.uri for passage in asked.passages if passage.uri not in asked.case.neutral))


def _ranking_values(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    judged = [each for each in asked if each.case.answerable]
    qrels = {each.case.case_id: dict(each.case.grades) for each in judged}
    run = {each.case.case_id: _falling_scores(document_ranking(each)) for each in judged}
    names = {ir: name for name, ir in _RANKING.items()}
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for found in ir_measures.iter_calc(list(names), qrels, run) if judged else ():
        values[names[found.measure]][found.query_id] = float(found.value)
    return {name: values[name] for name in _RANKING if name in values}


def _falling_scores(uris: Sequence[str]) -> dict[str, float]:
    """Scores that keep the order: trec_eval sorts for itself, and breaks ties by name."""
    return {uri: float(-rank) for rank, uri in enumerate(uris)}


def _answer_values(asked: Asked) -> Iterator[tuple[str, float]]:
    case, served = asked.case, asked.served
    if served is None:
        return
    if case.answers:
        yield "span recall@8", mean(_found_in_passages(answer, served) for answer in case.answers)
    if served.citations:
        yield CITATION_VALIDITY, mean(map(float, served.valid))
    refused = float(served.outcome == "refused")
    if not case.answerable:
        yield "refusals", refused
        return
    yield "false refusals", refused
    yield from _citation_values(case, served.citations)


def _citation_values(case: Case, citations: Sequence[Citation]) -> Iterator[tuple[str, float]]:
    """By document, and by quote: a citation supports a golden answer when one's words contain the other's.

    Precision says nothing of an answer without citations; recall counts it as 0.
    """
    judged = [citation for citation in citations if citation.uri not in case.neutral]
    for unit, supports in (("document", _same_document), ("quote", _same_words)):
        if judged:
            yield f"citation precision ({unit})", _share(judged, case.answers, supports)
        yield (
            f"citation recall ({unit})",
            mean(float(any(supports(citation, answer) for citation in judged)) for answer in case.answers),
        )


def _share(
    citations: Sequence[Citation],
    answers: Sequence[GoldenAnswer],
    supports: Callable[[Citation, GoldenAnswer], bool],
) -> float:
    return mean(float(any(supports(citation, answer) for answer in answers)) for citation in citations)


def _same_document(citation: Citation, answer: GoldenAnswer) -> bool:
    return citation.uri == answer.uri


def _same_words(citation: Citation, answer: GoldenAnswer) -> bool:
    return answer.is_cited_by(citation.uri, citation.quote)


def _found_in_passages(answer: GoldenAnswer, served: Served) -> float:
    return float(any(answer.stands_in(passage.uri, passage.text) for passage in served.passages))
