"""What is said before a chunk, and what it is worth: `python -m evals.benchmarks.contexts --data-dir D FOLDER…`.

The golden set, and sets in BEIR's format, are cut once and indexed in four ways, each under tenants of its own: the
text alone; with the title; with the headings; with the table's header or list's lead-in that it goes on from. All else
is the service's: its search, and on the golden set its answers, which without an LLM are quotations.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evals.beir import beir_subject
from evals.benchmarks.measuring import compared, markdown, publish
from evals.dataset import Dataset, Subject
from evals.golden import golden_subject
from evals.measures import Values, measure
from evals.runner import ask, patient_settings
from ingest.chunking import cut
from ingest.domain import Chunk
from ingest.examining import Parsed, examine, open_parsers
from ingest.indexing import claim_generation
from ingest.store import EmbeddedDocument, add_tenant, open_writer
from retrieval.access import TenantId, tenant_id
from retrieval.database.generations import FIRST
from retrieval.database.preparing import prepare_database
from retrieval.engine import Engine, open_engine
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder, Vectors
from retrieval.settings import Settings

_TOGETHER = 64
_MEASURES = ("nDCG@10", "recall@10", "span recall@8", "citation precision (quote)", "citation recall (quote)")

Way = Callable[[str, Chunk], str]
"""What stands before a chunk of the document with this title."""

WAYS: Mapping[str, Way] = {
    "text alone": lambda _title, _chunk: "",
    "title": lambda title, _chunk: title,
    "title and headings": lambda _title, chunk: chunk.context.removesuffix(f"\n{chunk.lead}"),
    "title, headings, header": lambda _title, chunk: chunk.context,
}
OWN = "title, headings, header"


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the indexes; what an earlier run of this code left is used")],
    sets: Annotated[list[Path] | None, typer.Argument(help="Folders in BEIR's format")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Only so many of each set, always the same")] = None,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints the measures of each way on each set."""
    settings = patient_settings(data_dir)
    embedder = load_embedder(settings.embedder)
    subjects = [golden_subject(), *map(beir_subject, sets or [])]
    rows = []
    for subject in subjects:
        _index(settings, embedder, subject, data_dir / "files" / subject.dataset.name)
        dataset = subject.dataset.sample(questions) if questions else subject.dataset
        rows += _rows(dataset.name, asyncio.run(_measured(settings, embedder, dataset)))
    table = markdown(["set, and what stands before the text", *_MEASURES], rows)
    about = "↑ ↓: significantly (p < .05) better or worse than the service's own way, the last of each set."
    publish("contexts", "What stands before a chunk", f"{about}\n\n{table}", record=record)


def _index(settings: Settings, embedder: Embedder, subject: Subject, files: Path) -> None:
    dsn = prepare_database(settings)
    claim_generation(dsn, embedder)
    with open_parsers(1) as parsers:
        for tenant, selection in subject.selections(files):
            examined = examine(parsers, selection.sources, lambda _uri: None, "", settings.ingest)
            parsed = [each for each in examined if isinstance(each, Parsed)]
            vectors: dict[str, Vectors] = {}
            for number, way in enumerate(WAYS.values()):
                _write(dsn, _tenant(tenant, number), embedder, parsed, way, vectors)


def _tenant(tenant: TenantId, number: int) -> TenantId:
    return tenant_id(f"{tenant}-{number}")


def _write(
    dsn: str, tenant: TenantId, embedder: Embedder, parsed: Sequence[Parsed], way: Way, vectors: dict[str, Vectors]
) -> None:
    """What two ways put before a chunk alike is embedded once."""
    add_tenant(dsn, tenant)
    with open_writer(dsn, tenant) as writer:
        if writer.known_documents():
            return
        documents = _cut(embedder, parsed, way)
        while some := list(islice(documents, _TOGETHER)):
            texts = [f"{chunk.context}\n{chunk.text}" for _, chunks in some for chunk in chunks]
            fresh = [text for text in dict.fromkeys(texts) if text not in vectors]
            vectors.update(zip(fresh, embedder.embed_documents(fresh), strict=True))
            writer.replace([_embedded(one, chunks, vectors) for one, chunks in some], FIRST)


def _cut(embedder: Embedder, parsed: Sequence[Parsed], way: Way) -> Iterator[tuple[Parsed, tuple[Chunk, ...]]]:
    for one in parsed:
        chunks = cut(one.document, embedder.count_tokens, embedder.max_tokens, Settings().ingest.overlap_tokens)
        yield one, tuple(replace(chunk, context=way(one.document.title, chunk)) for chunk in chunks)


def _embedded(parsed: Parsed, chunks: tuple[Chunk, ...], vectors: Mapping[str, Vectors]) -> EmbeddedDocument:
    found = [vectors[f"{chunk.context}\n{chunk.text}"] for chunk in chunks]
    return EmbeddedDocument(parsed=parsed, chunks=chunks, recipe="", vectors=np.array(found))


async def _measured(settings: Settings, embedder: Embedder, dataset: Dataset) -> dict[str, Values]:
    async with open_engine(settings, embedder=embedder) as engine:
        return {name: await _values(engine, dataset, number) for number, name in enumerate(WAYS)}


async def _values(engine: Engine, dataset: Dataset, number: int) -> Values:
    cases = [
        replace(case, caller=replace(case.caller, tenant=_tenant(case.caller.tenant, number))) for case in dataset.cases
    ]
    asked = await ask(engine, replace(dataset, cases=tuple(cases)), answers=dataset.writes_answers)
    return measure(asked)


def _rows(name: str, values: Mapping[str, Values]) -> list[list[str]]:
    return [
        [f"{name}: {way}", *(compared(of_way.get(each, {}), values[OWN].get(each, {})) for each in _MEASURES)]
        for way, of_way in values.items()
    ]


if __name__ == "__main__":
    typer.run(main)
