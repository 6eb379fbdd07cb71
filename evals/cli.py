"""`pincite eval`."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from retrieval.errors import InputError
from retrieval.settings import Settings

if TYPE_CHECKING:
    from evals.dataset import Subject
    from evals.evaluation import Evaluation, Progress
    from evals.judging.judgement import Judgement
    from evals.judging.options import JudgeOptions
    from evals.judging.session import Verdicts
    from evals.runner import OnCase

_ON_STDERR = Console(stderr=True)


def eval_command(
    golden: Annotated[bool, typer.Option("--golden", help="The golden questions (default)")] = False,
    beir: Annotated[Path | None, typer.Option(help="A folder in BEIR's format: corpus, queries, qrels")] = None,
    data_dir: Annotated[Path, typer.Option(help="The evaluations' own embedded database and files")] = Path(
        ".pincite/evals"
    ),
    sample_queries: Annotated[int | None, typer.Option(min=1, help="Only so many questions, always the same")] = None,
    ablate: Annotated[bool, typer.Option("--ablate", help="Also: dense only, lexical only, fused, reranked")] = False,
    tolerance: Annotated[float, typer.Option(min=0, max=1, help="How far a mean may fall, significantly")] = 0.02,
    baseline: Annotated[Path | None, typer.Option(help="Another baseline file than the set's own")] = None,
    save_baseline: Annotated[bool, typer.Option("--save-baseline", help="Keep this run as the baseline")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the whole result to this file")] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="Also: answers judged by this model; its key is PINCITE_JUDGE_API_KEY")
    ] = None,
    judge_url: Annotated[str | None, typer.Option(help="The judge's OpenAI-compatible API; unset: OpenAI's")] = None,
    judge_max_calls: Annotated[int, typer.Option(min=0, help="Most calls to the judge; 0: kept verdicts only")] = 500,
    judge_gate: Annotated[
        list[str] | None, typer.Option(help="Fail below this mean, such as groundedness=.9; several are allowed")
    ] = None,
    verdicts: Annotated[Path | None, typer.Option(help="Verdicts kept in another file than the data dir's")] = None,
) -> None:
    """Ask a set of questions as they are served, measure, and compare with the kept baseline.

    Exit code 0: all is well. 1: a measure fell, something leaked, or a citation does not stand in its document.
    2: the run could not be done.
    """
    if golden and beir is not None:
        raise InputError("--golden or --beir: one set at a time")
    if sample_queries is not None and save_baseline:
        raise InputError("a sample is no baseline: leave out --sample-queries")
    kept = verdicts or data_dir / "verdicts.jsonl"
    options = _judge_options(judge_model, judge_url, judge_max_calls, kept, judge_gate or [])
    subject = _subject(beir, sample_queries)
    if options is not None and not subject.dataset.writes_answers:
        raise InputError("--judge-model: of this set only rankings are measured, there are no answers to judge")
    evaluation = _evaluate(subject, data_dir, ablate=ablate)
    judged = None if options is None else _judge(evaluation, options)
    if not _conclude(evaluation, judged, baseline, tolerance, json_file, save_baseline=save_baseline):
        raise typer.Exit(1)


def _subject(beir: Path | None, sample_queries: int | None) -> "Subject":
    """The set to ask. What it needs beyond the service is imported here, so that `pincite` runs without it."""
    try:
        from evals.beir import beir_subject
        from evals.golden import golden_subject
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pincite[evals]'") from error
    subject = golden_subject() if beir is None else beir_subject(beir)
    if sample_queries is None:
        return subject
    return replace(subject, dataset=subject.dataset.sample(sample_queries))


def _evaluate(subject: "Subject", data_dir: Path, *, ablate: bool) -> "Evaluation":
    try:
        from evals.evaluation import evaluate
        from evals.runner import patient_settings
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pincite[evals]'") from error
    files = data_dir / "files" / subject.dataset.name
    with _progress() as progress:
        return asyncio.run(evaluate(patient_settings(data_dir), subject, files, ablate=ablate, progress=progress))


def _judge_options(
    model: str | None, url: str | None, max_calls: int, verdicts: Path, gates: list[str]
) -> "JudgeOptions | None":
    if model is None and url is None and not gates:
        return None
    from evals.judging.options import judge_options

    return judge_options(model, url, max_calls, verdicts, gates)


def _judge(evaluation: "Evaluation", options: "JudgeOptions") -> "Judgement":
    """The judge's word on the answers. What it will take is said first, on stderr."""
    from evals.judging.judge import open_judge
    from evals.judging.judgement import judgement
    from evals.judging.kept import KeptVerdicts
    from evals.judging.options import judge_settings
    from evals.judging.session import agenda, estimate, hold

    kept, plan, settings = KeptVerdicts(options.verdicts), agenda(evaluation.asked), Settings()
    ahead = estimate(plan, options.endpoint.model, kept)
    _ON_STDERR.print(f"judge {options.endpoint.model}: {ahead}; at most {options.max_calls} calls", soft_wrap=True)

    async def held(on_verdict: "OnCase") -> "Verdicts":
        limits = judge_settings(settings.llm), settings.breaker
        async with open_judge(options.endpoint, *limits, options.max_calls) as judge:
            return await hold(plan, judge, kept, on_verdict)

    with _progress() as progress:
        verdicts = asyncio.run(held(progress("judge", ahead.to_ask)))
    writer = evaluation.parts.get("llm")
    return judgement(evaluation.asked, plan, verdicts, options.gates, [*kept.notes, *options.notes(str(writer))])


def _conclude(
    evaluation: "Evaluation",
    judged: "Judgement | None",
    other: Path | None,
    tolerance: float,
    json_file: Path | None,
    *,
    save_baseline: bool,
) -> bool:
    """Reports, keeps what is to be kept; True when nothing speaks against this run."""
    from evals.baseline import BASELINES, baseline_of, compare, load, objections, save
    from evals.report import print_report, result_json

    path = other or BASELINES / f"{evaluation.dataset.name}.json"
    kept = load(path)
    comparisons = compare(evaluation.values, kept)
    found = objections(comparisons, evaluation.values, evaluation.leaks, tolerance)
    console, section = Console(width=None if sys.stdout.isatty() else 150), {}
    if judged is not None:
        from evals.judging.report import judgement_json, print_judgement

        found = (*found, *judged.objections)
        section = {"judge": judgement_json(judged)}
        print_judgement(console, judged)
    print_report(console, evaluation, comparisons, kept, found)
    if json_file is not None:
        result = result_json(evaluation, comparisons, kept, found) | section
        json_file.write_text(json.dumps(result, ensure_ascii=False, indent=1), encoding="utf-8")
    if save_baseline:
        save(baseline_of(evaluation.dataset, evaluation.values, evaluation.latencies, evaluation.parts), path)
        print(f"saved as baseline: {path}")
    return not found


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar per stage on stderr; silent where stderr is not a terminal."""
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ProgressBar(*columns, console=_ON_STDERR, transient=not _ON_STDERR.is_terminal) as bars:

        def begin(stage: str, questions: int) -> "OnCase":
            task = bars.add_task(stage, total=questions)
            return lambda: bars.update(task, advance=1)

        yield begin
