"""Ways to fuse two legs, on one set of candidates: `python -m evals.benchmarks.fusion FOLDER…` (sets in BEIR's format).

Both legs are asked once per question; every way then orders the same candidates, so that nothing else differs. Printed
is nDCG@10 of each set, the mean of the sets, and whether a difference to the service's own way is more than luck.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import ir_measures
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from evals.beir import beir_subject
from evals.benchmarks.measuring import compared
from evals.dataset import Case, Subject
from evals.measures import mean
from evals.runner import patient_settings, prepared_engine
from retrieval.engine import Engine
from retrieval.search.fusion import fuse, weight_of_cosine
from retrieval.search.legs import dense_leg, lexical_leg
from retrieval.serving import Missing
from retrieval.settings import SearchSettings, Settings

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A question's candidates: each one's document, scores, and ranks, infinite where a leg did not propose it."""

    case: Case
    uris: tuple[str, ...]
    cosine: Scores
    bm25: Scores
    dense_rank: Scores
    lexical_rank: Scores


Way = Callable[[Taken], Scores]
"""A score for each candidate; -inf leaves it out."""


def dense(taken: Taken) -> Scores:
    return np.where(np.isfinite(taken.dense_rank), taken.cosine, -np.inf)


def words(taken: Taken) -> Scores:
    return np.where(np.isfinite(taken.lexical_rank), taken.bm25, -np.inf)


def reciprocal_ranks(taken: Taken) -> Scores:
    """Cormack, Clarke & Büttcher 2009, with their k of 60."""
    return 1 / (60 + taken.dense_rank) + 1 / (60 + taken.lexical_rank)


def min_max(taken: Taken) -> Scores:
    return 0.5 * _stretched(taken.cosine) + 0.5 * _stretched(taken.bm25)


def idf_mass(weight: float) -> Way:
    """One weight of the cosine for every question."""
    return lambda taken: weight * np.maximum(taken.cosine, 0) + (1 - weight) * taken.bm25


def covered(taken: Taken) -> Scores:
    """Words weigh as much as the best of them cover of the question."""
    return idf_mass(1 - float(taken.bm25.max(initial=0)))(taken)


def standing_out(taken: Taken) -> Scores:
    """The service's own: each leg weighs by how far its best stands out."""
    return idf_mass(weight_of_cosine([*np.maximum(taken.cosine, 0)], [*taken.bm25]))(taken)


WAYS: Mapping[str, Way] = {
    "meaning alone": dense,
    "words alone": words,
    "reciprocal ranks, k = 60": reciprocal_ranks,
    "min-max, half and half": min_max,
    **{f"idf-mass, {weight:.1f} · cosine": idf_mass(weight) for weight in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)},
    "idf-mass, by what words cover of the question": covered,
    "idf-mass, by what stands out": standing_out,
}
OWN = "idf-mass, by what stands out"


def main(
    sets: Annotated[list[Path], typer.Argument(help="Folders in BEIR's format")],
    data_dir: Annotated[Path, typer.Option(help="The evaluations' database: `pincite eval` shares it")] = Path(
        ".pincite/evals"
    ),
    questions: Annotated[int | None, typer.Option(min=1, help="Only so many of each set, always the same")] = None,
) -> None:
    """Prints nDCG@10 of each way on each set."""
    settings = patient_settings(data_dir)
    values: dict[str, dict[str, dict[str, float]]] = {name: {} for name in WAYS}
    for folder in sets:
        subject = beir_subject(folder)
        if questions is not None:
            subject = replace(subject, dataset=subject.dataset.sample(questions))
        taken = asyncio.run(take(settings, subject, data_dir / "files" / subject.dataset.name))
        for name, way in WAYS.items():
            values[name][subject.dataset.name] = ndcg(taken, way)
    _print(values)


async def take(settings: Settings, subject: Subject, files: Path) -> list[Taken]:
    """Every question's candidates of both legs, scored by both. Ingests the set where it is not there."""
    async with prepared_engine(settings, subject, files) as (engine, _):
        return [await _take(engine, case, settings.search) for case in subject.dataset.cases]


async def _take(engine: Engine, case: Case, settings: SearchSettings) -> Taken:
    assert not isinstance(engine.embedder, Missing)
    embedding = await engine.embedder.embed_question(case.text)
    lexical = await lexical_leg(engine.store, case.caller, case.text, settings)
    found = await dense_leg(engine.store, case.caller, embedding, settings)
    fused = await fuse(engine.store, case.caller, embedding, found.hits, lexical, settings.dense_weight)
    candidates = [each.candidate for each in fused]
    return Taken(
        case=case,
        uris=tuple(each.passage.uri for each in fused),
        cosine=np.array([one.cosine for one in candidates]),
        bm25=np.array([one.bm25 for one in candidates]),
        dense_rank=np.array([one.dense_rank or np.inf for one in candidates]),
        lexical_rank=np.array([one.lexical_rank or np.inf for one in candidates]),
    )


def ndcg(taken: Sequence[Taken], way: Way) -> dict[str, float]:
    """nDCG@10 of each question: documents at the place of their best candidate, ties in the service's own order."""
    qrels = {each.case.case_id: dict(each.case.grades) for each in taken}
    run = {each.case.case_id: _ranking(each, way(each)) for each in taken}
    values = dict.fromkeys(qrels, 0.0)
    values.update(
        {one.query_id: float(one.value) for one in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
    )
    return values


def _ranking(taken: Taken, scores: Scores) -> dict[str, float]:
    order = [at for at in np.argsort(-scores, kind="stable") if scores[at] > -np.inf]
    documents = dict.fromkeys(taken.uris[at] for at in order if taken.uris[at] not in taken.case.neutral)
    return {uri: float(-rank) for rank, uri in enumerate(documents)}


def _stretched(scores: Scores) -> Scores:
    spread = np.ptp(scores) if scores.size else 0.0
    return np.zeros_like(scores) if spread == 0 else (scores - scores.min()) / spread


def _print(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """A row per way; ↑ and ↓: better or worse than the service's own way, with p < .05."""
    sets = list(values[OWN])
    table = Table(title="nDCG@10 (↑ ↓: significantly better or worse than the service's own way)", title_justify="left")
    for column in ("", *sets, "mean"):
        table.add_column(column, justify="right" if column else "left")
    for name, of_sets in values.items():
        cells = [compared(of_sets[each], values[OWN][each], digits=4) for each in sets]
        average = mean(mean(of_sets[each].values()) for each in sets)
        table.add_row(f"{name} (own)" if name == OWN else name, *cells, f"{average:.4f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
