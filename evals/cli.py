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
    from evals.runner import OnCase

_ON_STDERR = Console(stderr=True)
_PATIENCE = 60.0  # seconds


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
) -> None:
    """Ask a set of questions as they are served, measure, and compare with the kept baseline.

    Exit code 0: all is well. 1: a measure fell, something leaked, or a citation does not stand in its document.
    2: the run could not be done.
    """
    if golden and beir is not None:
        raise InputError("--golden or --beir: one set at a time")
    if sample_queries is not None and save_baseline:
        raise InputError("a sample is no baseline: leave out --sample-queries")
    subject = _subject(beir, sample_queries)
    evaluation = _evaluate(subject, data_dir, ablate=ablate)
    if not _conclude(evaluation, baseline, tolerance, json_file, save_baseline=save_baseline):
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
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'pincite[evals]'") from error
    files = data_dir / "files" / subject.dataset.name
    with _progress() as progress:
        return asyncio.run(evaluate(_settings(data_dir), subject, files, ablate=ablate, progress=progress))


def _settings(data_dir: Path) -> Settings:
    """The service's settings, with the evaluations' database and patience: a busy machine must not change a ranking."""
    settings = Settings()
    return replace(
        settings,
        database=settings.database.model_copy(update={"data_dir": data_dir, "database_timeout": _PATIENCE}),
        embedder=settings.embedder.model_copy(update={"timeout": _PATIENCE}),
        reranker=settings.reranker.model_copy(update={"budget": _PATIENCE}),
    )


def _conclude(
    evaluation: "Evaluation", other: Path | None, tolerance: float, json_file: Path | None, *, save_baseline: bool
) -> bool:
    """Reports, keeps what is to be kept; True when nothing speaks against this run."""
    from evals.baseline import BASELINES, baseline_of, compare, load, objections, save
    from evals.report import print_report, result_json

    path = other or BASELINES / f"{evaluation.dataset.name}.json"
    kept = load(path)
    comparisons = compare(evaluation.values, kept)
    found = objections(comparisons, evaluation.values, evaluation.leaks, tolerance)
    print_report(Console(width=None if sys.stdout.isatty() else 150), evaluation, comparisons, kept, found)
    if json_file is not None:
        result = result_json(evaluation, comparisons, kept, found)
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
