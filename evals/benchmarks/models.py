"""The embedder's backends side by side: `python -m evals.benchmarks.models`.

The same texts and the same question by each in turn, several rounds, so that a busy moment meets all of them. CPU time
says more than wall time on a shared machine. The start is measured with nothing kept, then with the conversion kept.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from retrieval.models.backends import agreement
from retrieval.models.minilm import minilm_path
from retrieval.models.openvino_backend import ConvertedModel
from retrieval.models.weights import quiet_loading

SAMPLE = Path(__file__).parents[1] / "sample"
QUESTION = "How many days of vacation do I get in my first year?"
_CHUNK = 900
"""Characters: about as long as a chunk of MiniLM's."""
_REPEATS = 20


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A way of computing: one model for documents, one for questions, and what each round measured, in seconds."""

    name: str
    documents: SentenceTransformer
    questions: SentenceTransformer
    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, what: str, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall.setdefault(what, []).append(time.perf_counter() - wall)
        self.cpu.setdefault(what, []).append(time.process_time() - cpu)


def main(texts: Annotated[int, typer.Option(min=32)] = 256, rounds: Annotated[int, typer.Option(min=1)] = 3) -> None:
    """Prints a table: one row per backend."""
    quiet_loading()
    model = SentenceTransformer(str(minilm_path()))
    _start(model)
    contestants = list(_contestants(model))
    chunks = _chunks(texts)
    for _ in range(rounds):
        for each in contestants:
            each.measure("documents", partial(_encode, each.documents, chunks))
            with _one_torch_thread():
                _encode(each.questions, [QUESTION])
                each.measure("questions", partial(_encode, each.questions, [QUESTION], _REPEATS))
    _print(model, contestants, texts)


def _start(model: SentenceTransformer) -> None:
    """How long converting and compiling take, with an empty cache and with a filled one."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for state in ("empty", "filled"):
            wall, cpu = time.perf_counter(), time.process_time()
            ConvertedModel(model).compiled("f32")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            typer.echo(f"OpenVINO's start, cache {state}: {wall:.1f} s, {cpu:.1f} s of CPU")


def _contestants(model: SentenceTransformer) -> Iterator[Contestant]:
    yield Contestant(name="torch", documents=model, questions=model)
    converted = ConvertedModel(model)
    for precision in reversed(converted.precisions()):
        yield Contestant(
            name=f"openvino {precision}",
            documents=converted.compiled(precision),
            questions=converted.compiled(precision, threads=1),
        )


def _encode(model: SentenceTransformer, texts: list[str], times: int = 1) -> None:
    for _ in range(times):
        model.encode(texts, show_progress_bar=False)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _chunks(count: int) -> list[str]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SAMPLE.rglob("*.md")))
    pieces = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    return [pieces[at % len(pieces)] for at in range(count)]


def _print(model: SentenceTransformer, contestants: list[Contestant], texts: int) -> None:
    table = Table("backend", "documents/s", "CPU ms/document", "× torch", "question ms", "CPU ms", "least cosine")
    [torch_cpu] = [median(each.cpu["documents"]) for each in contestants if each.name == "torch"]
    for each in contestants:
        documents, questions = median(each.wall["documents"]), median(each.wall["questions"]) / _REPEATS
        cpu, asked_cpu = median(each.cpu["documents"]), median(each.cpu["questions"]) / _REPEATS
        table.add_row(
            each.name,
            f"{texts / documents:.1f}",
            f"{1000 * cpu / texts:.1f}",
            f"{torch_cpu / cpu:.2f}",
            f"{1000 * questions:.1f}",
            f"{1000 * asked_cpu:.1f}",
            f"{agreement(model, each.documents):.5f}",
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
