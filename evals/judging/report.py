"""The judge's section of a report, for people and for programs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.judging.agreement import Agreement
from evals.judging.judgement import LEAST_LABELS, Consistency, Finding, Judgement
from evals.judging.session import Judged
from evals.judging.verdict import Verdict
from evals.report import new_table, number


def print_judgement(console: Console, found: Judgement) -> None:
    """The dimensions with the judge's agreement beside them, and what to know before believing them."""
    console.print(_findings_table(found))
    for line in _lines(found):
        console.print(line, highlight=False, markup=False)
    for finding in found.findings:
        if not finding.trusted:
            console.print(Text(f"! {_distrust(finding)}", style="yellow"))


def judgement_json(found: Judgement) -> dict[str, Any]:
    """The whole judgement, JSON-ready, with every answer's verdict or why there is none."""
    verdicts = found.verdicts
    return {
        "model": verdicts.judge,
        "rubric": verdicts.rubric,
        "dimensions": {finding.dimension.value: _finding_json(finding) for finding in found.findings},
        "golden_relevance": _plain(asdict(found.golden_relevance)),
        "consistency": _plain(asdict(found.consistency)),
        "length_correlation": _finite(found.length_correlation),
        "share_unjudged": found.share_unjudged,
        "unjudged": dict(found.unjudged),
        "unjudged_in_all": dict(found.unjudged_in_all),
        "kept": verdicts.kept,
        "calls": verdicts.calls,
        "tokens": {
            "prompt": verdicts.prompt_tokens,
            "completion": verdicts.completion_tokens,
            "estimated": verdicts.estimated,
        },
        "objections": list(found.objections),
        "notes": list(found.notes),
        "verdicts": {case_id: _judged_json(each) for case_id, each in verdicts.of_answers.items()},
    }


def _findings_table(found: Judgement) -> Table:
    title = f"judged by {found.verdicts.judge}, rubric {found.verdicts.rubric}"
    rows = new_table(title, "judged in", "answers", "value", "labels", "accuracy", "kappa", "95 %", "")
    for finding in found.findings:
        row = _agreement_cells(finding.agreement)
        verdict = Text("trusted", style="green") if finding.trusted else Text("not to be trusted", style="yellow")
        rows.add_row(finding.dimension, str(finding.answers), number(finding.value), *row, verdict)
    rows.add_row("relevance, golden answers' words", "", "", *_agreement_cells(found.golden_relevance), "")
    return rows


def _agreement_cells(of: Agreement) -> tuple[str, str, str, str]:
    interval = "" if math.isnan(of.low) else f"{of.low:.2f} to {of.high:.2f}"
    return str(of.labels), number(of.accuracy), number(of.kappa), interval


def _lines(found: Judgement) -> Iterator[str]:
    verdicts = found.verdicts
    yield f"without a verdict: {_counts(found)} of {len(verdicts.of_answers)} answers ({found.share_unjudged:.0%})"
    yield _consistency_line(found.consistency)
    if not math.isnan(found.length_correlation):
        yield f"an answer's length and its relevance correlate by {found.length_correlation:+.2f} (Spearman)"
    about = "about " if verdicts.estimated else ""
    tokens = f"{verdicts.prompt_tokens:,} tokens in, {verdicts.completion_tokens:,} out"
    yield f"{verdicts.kept} verdicts were kept from before; {verdicts.calls} calls, {about}{tokens}"
    yield from found.notes


def _counts(found: Judgement) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in found.unjudged.items())
    return reasons or "0"


def _consistency_line(of: Consistency) -> str:
    if not of.answers:
        return "no answer with several passages was judged twice"
    shares = {"relevance": of.relevance, "sentences": of.sentences, "citations": of.citations}
    said = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items() if not math.isnan(share))
    return f"{of.answers} answers judged again, passages in another order; graded the same: {said}"


def _distrust(finding: Finding) -> str:
    of = finding.agreement
    distrust = f"the judge is not to be trusted in {finding.dimension}"
    if of.labels < LEAST_LABELS or math.isnan(of.low):
        return f"{distrust}: {of.labels} known grades are too few, or too much alike, to tell"
    return f"{distrust}: its agreement with {of.labels} known grades may be as low as kappa {of.low:.2f}"


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "value": _finite(finding.value),
        "answers": finding.answers,
        "agreement": _plain(asdict(finding.agreement)),
        "trusted": finding.trusted,
    }


def _judged_json(judged: Judged) -> dict[str, Any]:
    if isinstance(judged, Verdict):
        return judged.model_dump()
    return {"unjudged": judged.reason.value, "detail": judged.detail}


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else value
