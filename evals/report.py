"""A run for people (tables) and for programs (JSON)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.baseline import Baseline, Comparison
from evals.evaluation import Evaluation
from evals.measures import Values, document_ranking, mean
from evals.runner import AT_ONCE, Asked
from evals.significance import LEVEL, paired_p_value

_BY_KIND = (
    "nDCG@10",
    "recall@5",
    "MRR@10",
    "span recall@8",
    "citation precision (document)",
    "citation recall (document)",
    "citation recall (quote)",
    "refusals",
    "false refusals",
)
_SHORT = {"citation precision (document)": "cit. prec.", "citation recall (document)": "cit. recall"}
_SHORT |= {"citation recall (quote)": "quote recall", "false refusals": "false ref."}
_RANKED_IN_JSON = 10


def print_report(
    console: Console,
    evaluation: Evaluation,
    comparisons: Sequence[Comparison],
    baseline: Baseline | None,
    objections: Sequence[str],
) -> None:
    """Measures beside the baseline's, the kinds of question, the ablation, latency, what to mind, the verdict."""
    console.print(_measures_table(evaluation, comparisons))
    if evaluation.dataset.writes_answers:
        console.print(_kinds_table(evaluation))
    if evaluation.ablation:
        console.print(_ablation_table(evaluation.ablation))
    for line in _lines(evaluation, baseline):
        console.print(line, highlight=False, markup=False)
    for objection in objections:
        console.print(Text(f"✗ {objection}", style="bold red"))
    if not objections:
        console.print(Text("✓ nothing leaked, no citation is wrong, no measure fell", style="green"))


def _measures_table(evaluation: Evaluation, comparisons: Iterable[Comparison]) -> Table:
    dataset = evaluation.dataset
    title = f"{dataset.name} · {len(dataset.cases)} questions{' (a sample)' if dataset.sampled else ''}"
    table = new_table(title, "measure", "questions", "value", "baseline", "difference", "p", "")
    for found in comparisons:
        table.add_row(
            found.measure,
            str(found.questions),
            number(found.value),
            number(found.baseline),
            number(found.difference, signed=True),
            _chance(found.p_value),
            _verdict(found),
        )
    table.add_row("leaks", str(len(dataset.cases)), str(len(evaluation.leaks)))
    return table


def _verdict(found: Comparison) -> Text:
    if found.p_value is None or not found.difference:
        return Text("")
    if not found.significant:
        return Text("not significant", style="dim")
    return Text("better", style="green") if found.gain > 0 else Text("worse", style="red")


def _kinds_table(evaluation: Evaluation) -> Table:
    kinds: dict[str, list[Asked]] = defaultdict(list)
    for each in evaluation.asked:
        kinds[each.case.kind].append(each)
    table = new_table("by kind", "kind", "questions", *(_SHORT.get(name, name) for name in _BY_KIND), "confidence")
    for kind, asked in kinds.items():
        means = (mean(_of(evaluation.values.get(name, {}), asked)) for name in _BY_KIND)
        confidence = mean(each.confidence for each in asked)
        table.add_row(kind, str(len(asked)), *(number(value) for value in means), number(confidence))
    return table


def _of(values: Mapping[str, float], asked: Iterable[Asked]) -> list[float]:
    return [values[each.case.case_id] for each in asked if each.case.case_id in values]


def _ablation_table(ablation: Mapping[str, Values]) -> Table:
    """Each variant's means; the p-values are of nDCG@10 against `fused`."""
    measures = list(next(iter(ablation.values())))
    table = new_table("with parts left out", "variant", *measures, "p (nDCG@10, to fused)")
    fused = ablation["fused"].get("nDCG@10", {})
    for name, values in ablation.items():
        differences = [value - fused[case] for case, value in values.get("nDCG@10", {}).items()]
        p_value = None if name == "fused" else paired_p_value(differences)
        table.add_row(name, *(number(mean(values[measure].values())) for measure in measures), _chance(p_value))
    return table


def _lines(evaluation: Evaluation, baseline: Baseline | None) -> Iterator[str]:
    for name, found in evaluation.latencies.items():
        before = baseline.latency_ms.get(name) if baseline else None
        beside = f" (baseline: {before['p50']:.0f} and {before['p95']:.0f})" if before else ""
        yield f"{name}: p50 {found.p50:.0f} ms, p95 {found.p95:.0f} ms, {AT_ONCE} questions at once{beside}"
    yield "made by: " + ", ".join(f"{part} {value}" for part, value in evaluation.parts.items() if value is not None)
    yield from baseline_notes(evaluation, baseline)
    yield from evaluation.notes


def baseline_notes(evaluation: Evaluation, baseline: Baseline | None) -> Iterator[str]:
    """What to know of the baseline before believing the comparison."""
    if baseline is None:
        yield "no baseline to compare with: --save-baseline makes this run one"
        return
    if baseline.fingerprint != evaluation.dataset.fingerprint:
        yield "the baseline is of another version of this set: compared where question ids are the same"
    changed = [part for part, value in evaluation.parts.items() if baseline.parts.get(part) != value]
    if changed:
        yield "other than in the baseline: " + ", ".join(f"{part} (was {baseline.parts.get(part)})" for part in changed)


def result_json(
    evaluation: Evaluation,
    comparisons: Sequence[Comparison],
    baseline: Baseline | None,
    objections: Sequence[str],
) -> dict[str, Any]:
    """The whole result, JSON-ready: means, comparison, per-question values, rankings, answers, citations."""
    return {
        "dataset": evaluation.dataset.name,
        "fingerprint": evaluation.dataset.fingerprint,
        "sampled": evaluation.dataset.sampled,
        "parts": dict(evaluation.parts),
        "measures": {found.measure: asdict(found) for found in comparisons},
        "level": LEVEL,
        "latency_ms": {name: asdict(found) for name, found in evaluation.latencies.items()},
        "leaks": [asdict(leak) for leak in evaluation.leaks],
        "ablation": {name: _means(run) for name, run in evaluation.ablation.items()},
        "notes": [*baseline_notes(evaluation, baseline), *evaluation.notes],
        "objections": list(objections),
        "questions": [_question_json(evaluation, each) for each in evaluation.asked],
    }


def _means(values: Values) -> dict[str, float]:
    return {measure: mean(of_questions.values()) for measure, of_questions in values.items()}


def _question_json(evaluation: Evaluation, asked: Asked) -> dict[str, Any]:
    case, served = asked.case, asked.served
    values = {name: of[case.case_id] for name, of in evaluation.values.items() if case.case_id in of}
    content: dict[str, Any] = {
        "id": case.case_id,
        "tenant": case.caller.tenant,
        "kind": case.kind,
        "question": case.text,
        "confidence": asked.confidence,
        "ranking": document_ranking(asked)[:_RANKED_IN_JSON],
        "values": values,
    }
    if served is not None:
        cited = zip(served.citations, served.valid, strict=True)
        content |= {"outcome": served.outcome, "answer": served.text}
        content["citations"] = [{"uri": each.uri, "quote": each.quote, "valid": valid} for each, valid in cited]
    return content


def new_table(title: str, *columns: str) -> Table:
    """Without rows; text stands to the left, numbers to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        text = column in {columns[0], ""}
        table.add_column(column, justify="left" if text else "right", overflow="fold")
    return table


def _chance(p_value: float | None) -> str:
    return "< .001" if p_value is not None and p_value < 0.001 else number(p_value)


def number(value: float | None, *, signed: bool = False) -> str:
    """Three digits; nothing for a number there is not (None, or the mean of nothing)."""
    if value is None or value != value:
        return ""
    return f"{value:+.3f}" if signed else f"{value:.3f}"
