"""What the verdicts come to, and how far the judge may be believed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from evals.judging.agreement import Agreement, agreement
from evals.judging.controls import golden_relevance
from evals.judging.session import Agenda, Judged, Verdicts
from evals.judging.verdict import Dimension, Unjudged, Verdict
from evals.measures import mean
from evals.runner import Asked

GOOD = 0.75
"""A score from here on is a yes: relevance 3 of 4. One sentence of two that is only `partly` founded is one."""
LEAST_KAPPA = 0.4
"""The lower end of kappa's interval from which a judge is believed: `moderate` in Landis & Koch (1977)."""
LEAST_LABELS = 20
MOST_UNJUDGED = 0.1
"""Share of answers without a verdict up to which a mean may pass a gate: they are not left out by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A dimension's mean over the answers judged in it, and the judge's agreement with the controls there."""

    dimension: Dimension
    value: float
    answers: int
    agreement: Agreement

    @property
    def trusted(self) -> bool:
        return self.agreement.labels >= LEAST_LABELS and self.agreement.low >= LEAST_KAPPA


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """Of answers judged again with their passages in another order: the shares of grades that stayed the same."""

    answers: int
    relevance: float
    sentences: float
    citations: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All there is to say. `golden_relevance`: the judge beside the golden answers, on the answers as served.

    `length_correlation`: Spearman's, of an answer's length with its relevance; NaN where either is all the same.
    `unjudged` counts, by reason, the answers without a verdict; `unjudged_in_all` controls and repetitions as well.
    `objections`: the gates that this run does not pass; `notes`: what else to mind.
    """

    verdicts: Verdicts
    findings: tuple[Finding, ...]
    golden_relevance: Agreement
    consistency: Consistency
    length_correlation: float
    unjudged: Mapping[str, int]
    unjudged_in_all: Mapping[str, int]
    share_unjudged: float
    objections: tuple[str, ...]
    notes: tuple[str, ...]


def judgement(
    asked: Sequence[Asked],
    plan: Agenda,
    verdicts: Verdicts,
    gates: Mapping[Dimension, float],
    notes: Sequence[str] = (),
) -> Judgement:
    """What the verdicts on this run's answers come to, and whether it passes the gates."""
    everything = [*verdicts.of_controls, *verdicts.of_answers.values(), *verdicts.of_reordered.values()]
    findings = tuple(_finding(dimension, plan, verdicts) for dimension in Dimension)
    unjudged = _reasons(verdicts.of_answers.values())
    share = sum(unjudged.values()) / max(len(verdicts.of_answers), 1)
    return Judgement(
        verdicts=verdicts,
        findings=findings,
        golden_relevance=_golden_relevance(asked, verdicts),
        consistency=_consistency(verdicts),
        length_correlation=_length_correlation(plan, verdicts),
        unjudged=unjudged,
        unjudged_in_all=_reasons(everything),
        share_unjudged=share,
        objections=tuple(objection for each in findings for objection in _objections(each, gates, share)),
        notes=tuple(notes),
    )


def _objections(finding: Finding, gates: Mapping[Dimension, float], share_unjudged: float) -> Iterator[str]:
    """What cannot be told does not pass: a gate is asked for to be held."""
    gate = gates.get(finding.dimension)
    if gate is None:
        return
    if not finding.trusted:
        yield f"{finding.dimension} has a gate, and the judge is not to be trusted in it"
    if share_unjudged > MOST_UNJUDGED:
        yield f"{finding.dimension} has a gate, and {share_unjudged:.0%} of the answers have no verdict"
    if not finding.value >= gate:
        yield f"{finding.dimension} is {finding.value:.3f}, below its gate of {gate:g}"


def _finding(dimension: Dimension, plan: Agenda, verdicts: Verdicts) -> Finding:
    judged = zip(plan.controls, verdicts.of_controls, strict=True)
    labels = [
        (control.good[dimension], verdict.scores()[dimension] >= GOOD)
        for control, verdict in judged
        if isinstance(verdict, Verdict)
    ]
    scores = [verdict.scores() for verdict in _given(verdicts.of_answers).values()]
    values = [of_answer[dimension] for of_answer in scores if dimension in of_answer]
    return Finding(dimension=dimension, value=mean(values), answers=len(values), agreement=_agreement(labels))


def _golden_relevance(asked: Sequence[Asked], verdicts: Verdicts) -> Agreement:
    golden = {each.case.case_id: golden_relevance(each) for each in asked}
    given = _given(verdicts.of_answers)
    labels = [(golden[case_id], each.scores()[Dimension.RELEVANCE] >= GOOD) for case_id, each in given.items()]
    return _agreement([(label, said) for label, said in labels if label is not None])


def _agreement(labels: Sequence[tuple[bool, bool]]) -> Agreement:
    return agreement([known for known, _ in labels], [said for _, said in labels])


def _consistency(verdicts: Verdicts) -> Consistency:
    first, again = _given(verdicts.of_answers), _given(verdicts.of_reordered)
    pairs = [(first[case_id], second) for case_id, second in again.items() if case_id in first]
    return Consistency(
        answers=len(pairs),
        relevance=mean(float(one.relevance == two.relevance) for one, two in pairs),
        sentences=_same((one.sentences, two.sentences) for one, two in pairs),
        citations=_same((one.citations, two.citations) for one, two in pairs),
    )


def _same(pairs: Iterable[tuple[Sequence[object], Sequence[object]]]) -> float:
    return mean(float(one == two) for first, second in pairs for one, two in zip(first, second, strict=True))


def _length_correlation(plan: Agenda, verdicts: Verdicts) -> float:
    given = _given(verdicts.of_answers)
    lengths = [sum(map(len, plan.answers[case_id].sentences)) for case_id in given]
    grades = [each.relevance for each in given.values()]
    if len(set(lengths)) < 2 or len(set(grades)) < 2:
        return float(np.nan)
    return float(spearmanr(lengths, grades).statistic)


def _given(judged: Mapping[str, Judged]) -> dict[str, Verdict]:
    return {case_id: each for case_id, each in judged.items() if isinstance(each, Verdict)}


def _reasons(judged: Iterable[Judged]) -> dict[str, int]:
    return dict(Counter(each.reason.value for each in judged if isinstance(each, Unjudged)))
