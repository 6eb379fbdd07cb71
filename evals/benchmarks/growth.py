"""The same search as everything grows: `python -m evals.benchmarks.growth`.

The tenants of `search_grid.py` at 100,000, 300,000 and a million chunks in all: the largest ones' searches, over all
visibilities. What grows tenfold should not make a search twice as dear.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evals.benchmarks.made_up_chunks import made_up_tenants
from evals.benchmarks.measuring import RESULTS, markdown, open_bench, publish
from evals.benchmarks.plotting import plot
from evals.benchmarks.search_grid import Cell, measure, prepare

_TENANTS = 1000
_RANKS = (1, 3, 10, 100)


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up indexes; made when they are not there")],
    sizes: Annotated[str, typer.Option(help="Chunks in all, with commas between")] = "100000,300000,1000000",
    questions: Annotated[int, typer.Option(min=1)] = 10,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints CPU time and recall at each size."""
    found = {int(size): _at(data_dir / size, int(size), questions) for size in sizes.split(",")}
    first = float(np.percentile(_cpu(next(iter(found.values()))), 95))
    rows = [
        [
            f"{size:,}",
            f"{max(cell.chunks for cell in cells):,}",
            f"{np.mean([np.mean(cell.recalls) for cell in cells]):.4f}",
            str(sum(cell.short for cell in cells)),
            f"{np.percentile(_cpu(cells), 50):.1f} ms",
            f"{np.percentile(_cpu(cells), 95):.1f} ms",
            f"{float(np.percentile(_cpu(cells), 95)) / first:.2f}",
        ]
        for size, cells in found.items()
    ]
    columns = ["chunks", "largest tenant's", "recall@10", "short", "cpu p50", "cpu p95", "p95, of the first"]
    about = f"Tenants number {', '.join(map(str, _RANKS))} of {_TENANTS:,}, all groups, {questions} questions each."
    body = f"{about}\n\n{markdown(columns, rows)}\n\n![CPU time by visible chunks](growth.svg)"
    publish("growth", "The same search as everything grows", body, record=record)
    if record:
        points = {
            f"{size:,} chunks": [(cell.visible, float(np.median(cell.cpu_ms))) for cell in cells]
            for size, cells in found.items()
        }
        plot(RESULTS.with_name("growth.svg"), "Median CPU time of a search", "visible chunks", "ms", points)


def _at(data_dir: Path, chunks: int, questions: int) -> list[Cell]:
    made_up, bench = made_up_tenants(chunks, _TENANTS), open_bench(data_dir)
    prepare(bench, made_up, index_up_to=max(rank for rank in _RANKS if rank <= 30))
    return asyncio.run(measure(bench, [made_up[rank - 1] for rank in _RANKS], questions, ["service"]))


def _cpu(cells: Sequence[Cell]) -> list[float]:
    return [ms for cell in cells for ms in cell.cpu_ms]


if __name__ == "__main__":
    typer.run(main)
