"""Where the golden questions start in the cascade, and what its numbers stand on.

    python -m evals.benchmarks.routing --data-dir .pincite/bench/routing

No language model is asked: routes depend on the question and its passages alone.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from evals.dataset import Case
from evals.golden import golden_subject
from evals.runner import Asked, ask, prepared_engine
from retrieval.domain import Passage, Retrieval
from retrieval.generation.cascade import GOOD_FIT, LOW_SUPPORT, POOR_FIT, route
from retrieval.generation.citations import SUPPORT_FLOOR
from retrieval.generation.sentences import support, terms, units
from retrieval.settings import DatabaseSettings, Settings

_console = Console()


def main(
    data_dir: Annotated[Path, typer.Option(help="An embedded database of its own")] = Path(".pincite/bench/routing"),
) -> None:
    """Asks the golden questions and prints where they start, their confidence, and accidental support."""
    asked = asyncio.run(_asked(data_dir))
    _print_routes(asked)
    _print_spread(asked)
    _print_confidence(asked)
    _print_support(asked)


async def _asked(data_dir: Path) -> tuple[Asked, ...]:
    settings = Settings(database=DatabaseSettings(data_dir=data_dir))
    subject = golden_subject()
    async with prepared_engine(settings, subject, data_dir / "files") as (engine, _):
        return await ask(engine, subject.dataset, answers=False)


def _print_routes(asked: tuple[Asked, ...]) -> None:
    started = Counter(map(_reason, asked))
    table = Table("starts", "questions", "by kind")
    for reason, count in started.most_common():
        kinds = Counter(one.case.kind for one in asked if _reason(one) == reason)
        table.add_row(reason, str(count), ", ".join(f"{kind} {number}" for kind, number in kinds.most_common()))
    _console.print(table)
    words = [len(one.case.text.split()) for one in asked]
    _console.print(f"{len(asked)} questions of {min(words)} to {max(words)} words, median {np.median(words):.0f}")


def _reason(one: Asked) -> str:
    found = Retrieval(passages=(), confidence=one.confidence, degraded=(), timings_ms={})
    return route(one.case.text, found).reason


def _print_spread(asked: tuple[Asked, ...]) -> None:
    """Whether questions over several documents bring passages of more documents: no sign is made of it."""
    kinds = sorted({one.case.kind for one in asked})
    spread = {
        kind: [len({each.uri for each in one.passages[:5]}) for one in asked if one.case.kind == kind] for kind in kinds
    }
    shown = ", ".join(f"{kind} {np.mean(counts):.1f}" for kind, counts in spread.items())
    _console.print(f"documents among the five best passages: {shown}")


def _print_confidence(asked: tuple[Asked, ...]) -> None:
    table = Table("confidence from", "questions", "of which answerable")
    for bound in (0.0, POOR_FIT, 0.3, 0.4, GOOD_FIT, 0.6, 0.7):
        over = [one.case.answerable for one in asked if one.confidence >= bound]
        table.add_row(f"{bound:.2f}", str(len(over)), f"{np.mean(over):.1%}" if over else "")
    _console.print(table)


def _print_support(asked: tuple[Asked, ...]) -> None:
    """How much support the golden answers' words find in passages of documents that do not answer."""
    found = np.array([share for one in asked for share in _accidental(one.case, one.passages)])
    _console.print(f"{len(found)} golden answers held against passages that do not answer the question:")
    for bound in (SUPPORT_FLOOR, 0.25, 0.3, LOW_SUPPORT, 0.4, 0.5):
        _console.print(f"  support from {bound:.2f}: {np.mean(found >= bound):.1%}")


def _accidental(case: Case, passages: tuple[Passage, ...]) -> list[float]:
    beside = [each for each in passages if each.uri not in case.grades and each.uri not in case.neutral]
    return [_best(answer.quote, each.text) for answer in case.answers for each in beside]


def _best(claim: str, text: str) -> float:
    sentences = [frozenset(terms(text[unit.start : unit.end])) for unit in units(text)]
    return max((support(terms(claim), sentence) for sentence in sentences), default=0.0)


if __name__ == "__main__":
    typer.run(main)
