"""An evaluation from start to end: index → ask → measure → (ask again with parts left out)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evals.dataset import Dataset, Subject
from evals.measures import Latency, Leak, Values, latency, leaks, measure
from evals.runner import Asked, OnCase, ask, prepared_engine, variants
from ingest.domain import Failure
from retrieval.domain import Degradation
from retrieval.engine import Engine
from retrieval.serving import Missing
from retrieval.settings import Settings

Parts = Mapping[str, str | float | None]
Progress = Callable[[str, int], OnCase]
"""Told that a stage begins and how many questions it asks; gives what to call after each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All there is to say of a run. `parts`: the models and settings that made it; `notes`: what to mind.

    `ablation` holds the ranking measures of each variant, the leaks of all of them are among `leaks`.
    """

    dataset: Dataset
    parts: Parts
    asked: tuple[Asked, ...]
    values: Values
    latencies: Mapping[str, Latency]
    leaks: tuple[Leak, ...]
    ablation: Mapping[str, Values]
    notes: tuple[str, ...]


async def evaluate(
    settings: Settings, subject: Subject, files: Path, *, ablate: bool, progress: Progress
) -> Evaluation:
    """Indexes the subject's corpus where it changed, asks its questions as they are served, and measures.

    `files` is the folder the corpus is written to. Raises `StoreUnavailable`, `IndexMismatch` and
    `EmbedderUnavailable`.
    """
    dataset = subject.dataset
    async with prepared_engine(settings, subject, files) as (engine, failures):
        on_case = progress("ask", len(dataset.cases))
        asked = await ask(engine, dataset, answers=dataset.writes_answers, on_case=on_case)
        ablated = await _ablate(engine, dataset, progress) if ablate else {}
        parts = _parts(engine)
    return Evaluation(
        dataset=dataset,
        parts=parts,
        asked=asked,
        values=measure(asked),
        latencies=_latencies(asked),
        leaks=leaks(dataset, [*asked, *(each for run in ablated.values() for each in run)]),
        ablation={name: measure(run) for name, run in ablated.items()},
        notes=(*_ingest_notes(failures), *_asking_notes(asked)),
    )


async def _ablate(engine: Engine, dataset: Dataset, progress: Progress) -> dict[str, tuple[Asked, ...]]:
    return {
        name: await ask(variant, dataset, answers=False, on_case=progress(name, len(dataset.cases)))
        for name, variant in variants(engine)
    }


def _latencies(asked: Iterable[Asked]) -> dict[str, Latency]:
    retrieved = latency(each.milliseconds for each in asked)
    answered = latency(each.served.milliseconds for each in asked if each.served)
    return {name: found for name, found in (("retrieve", retrieved), ("answer", answered)) if found is not None}


def _parts(engine: Engine) -> Parts:
    def name(model: object) -> str | None:
        return None if model is None or isinstance(model, Missing) else str(getattr(model, "name", model))

    search = engine.settings.search
    return {
        "embedder": name(engine.embedder),
        "reranker": name(engine.reranker),
        "llm": name(engine.llm),
        "dense_weight": search.dense_weight,
        "refuse_below": search.refuse_below,
        "candidates": search.candidates,
    }


def _ingest_notes(failures: tuple[Failure, ...]) -> list[str]:
    return [f"not indexed: {failure.uri} ({failure.reason}: {failure.message})" for failure in failures]


def _asking_notes(asked: Iterable[Asked]) -> list[str]:
    """What makes the numbers worth less: parts that gave way, answers that broke off."""
    broken, degraded = Counter[str](), Counter[Degradation]()
    for each in asked:
        degraded.update({*each.degraded, *(each.served.degraded if each.served else ())})
        if each.served and each.served.outcome not in {"answered", "unsupported", "refused"}:
            broken[each.served.outcome] += 1
    return [
        *(f"{count} questions were served without a part: {part}" for part, count in degraded.items()),
        *(f"{count} answers broke off: {code}" for code, count in broken.items()),
    ]
