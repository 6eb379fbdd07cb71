"""Passages grown by what stands around them: `python -m evals.benchmarks.surroundings --data-dir D`.

The golden set, asked with as many passages as the API finds by default, and with half of them, as they are and grown.
How many of the wanted quotes stand in what an LLM would be given (the passages that fit into its prompt), what that
takes, and what becomes of the quoted answers. How documents rank is the same in all of it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evals.benchmarks.measuring import compared, markdown, publish
from evals.dataset import Case, Dataset
from evals.golden import golden_subject
from evals.measures import CITATION_VALIDITY, mean, measure
from evals.runner import SERVED_PASSAGES, Asked, patient_settings, prepared_engine, serve
from retrieval.domain import Question, RankedPassage, Surroundings
from retrieval.engine import Engine
from retrieval.generation.packing import count_tokens, pack, passage_tokens
from retrieval.searching import retrieve

_ANSWERED = (CITATION_VALIDITY, "citation precision (quote)", "citation recall (quote)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What one way of asking brought: each question's share of quotes in the prompt, its tokens, its answer."""

    evidence: dict[str, float]
    tokens: list[int]
    asked: list[Asked]


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the index; made when it is not there")],
    questions: Annotated[int | None, typer.Option(min=1, help="Only so many, always the same")] = None,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints the measures of each way."""
    outcomes = asyncio.run(_outcomes(data_dir, questions))
    rows = [_row(way, outcome, outcomes[way[0], Surroundings.NONE]) for way, outcome in outcomes.items()]
    table = markdown(["passages", "quotes in the prompt", "its tokens, p50", *_ANSWERED], rows)
    about = "↑ ↓: significantly (p < .05) better or worse than as many passages as they are."
    publish("surroundings", "Passages grown by what stands around them", f"{about}\n\n{table}", record=record)


async def _outcomes(data_dir: Path, questions: int | None) -> dict[tuple[int, Surroundings], _Outcome]:
    subject, settings = golden_subject(), patient_settings(data_dir)
    dataset = subject.dataset.sample(questions) if questions else subject.dataset
    async with prepared_engine(settings, subject, data_dir / "files") as (engine, _):
        return {
            (limit, surroundings): await _outcome(engine, dataset, limit, surroundings)
            for limit in (SERVED_PASSAGES, SERVED_PASSAGES // 2)
            for surroundings in Surroundings
        }


async def _outcome(engine: Engine, dataset: Dataset, limit: int, surroundings: Surroundings) -> _Outcome:
    outcome = _Outcome(evidence={}, tokens=[], asked=[])
    for case in dataset.cases:
        question = Question(text=case.text, caller=case.caller, limit=limit, surroundings=surroundings)
        found = await retrieve(engine, question)
        shown = pack(found.passages, engine.settings.llm.max_context_tokens)
        outcome.tokens.append(sum(passage_tokens(each, count_tokens) for each in shown))
        if case.answers:
            outcome.evidence[case.case_id] = _evidence(case, shown)
        outcome.asked.append(
            Asked(
                case=case,
                passages=tuple(each.passage for each in found.passages),
                confidence=found.confidence,
                degraded=found.degraded,
                milliseconds=0.0,
                served=await serve(engine, case, limit, surroundings),
            )
        )
    return outcome


def _evidence(case: Case, shown: tuple[RankedPassage, ...]) -> float:
    passages = [each.passage for each in shown]
    return mean(float(any(answer.stands_in(one.uri, one.text) for one in passages)) for answer in case.answers)


def _row(way: tuple[int, Surroundings], outcome: _Outcome, plain: _Outcome) -> list[str]:
    answered, answered_plainly = measure(outcome.asked), measure(plain.asked)
    return [
        f"{way[0]}, {way[1]}",
        compared(outcome.evidence, plain.evidence),
        f"{np.median(outcome.tokens):.0f}",
        *(compared(answered[name], answered_plainly[name]) for name in _ANSWERED),
    ]


if __name__ == "__main__":
    typer.run(main)
