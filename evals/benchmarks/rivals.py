"""Side by side with vector stores that others build on pgvector: `python -m evals.benchmarks.rivals`.

The same server, texts, vectors and questions; each store written, indexed and asked through its own API as its
documentation does (`rival_stores.py`). The filter leaves one chunk in a hundred: a field of their metadata, a group's
permission here. Wall time in the client, because they choose their own connections.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray

from evals.benchmarks.made_up_documents import batches, made_up_documents, made_up_vectors
from evals.benchmarks.measuring import Bench, markdown, open_bench, publish
from evals.benchmarks.rival_stores import LIMIT, STORES
from ingest.indexing import build_vector_index, tidy
from ingest.store import EmbeddedDocument, add_tenant, open_writer
from retrieval.access import Caller, caller, tenant_id
from retrieval.database.generations import FIRST, Generation
from retrieval.database.store import Store, open_store
from retrieval.models.protocols import Vectors
from retrieval.search.legs import dense_leg
from retrieval.settings import IngestSettings, SearchSettings

DIMENSIONS = 384
_TENANT = tenant_id("bench")
_TEAMS = 100
_ASKED = ("recall@10", "short", "wall p50")
_EVERYONE = "group:everyone"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What each question brought, as numbers of chunks, and in how many milliseconds."""

    found: Sequence[Sequence[int]]
    milliseconds: Sequence[float]

    def columns(self, right: Sequence[frozenset[int]]) -> list[str]:
        """Recall, how many results were too few, and the median time."""
        recall = np.mean(
            [len(best.intersection(found)) / len(best) for best, found in zip(right, self.found, strict=True)]
        )
        short = sum(len(found) < len(best) for best, found in zip(right, self.found, strict=True))
        return [f"{recall:.3f}", f"{short} of {len(right)}", f"{np.median(self.milliseconds):.1f} ms"]


def main(
    data_dir: Annotated[Path, typer.Option(help="Of the server; what is in its tables goes")],
    python: Annotated[Path, typer.Option(help="Of the virtual environment that holds the rivals")],
    chunks: Annotated[int, typer.Option(min=1000)] = 50_000,
    questions: Annotated[int, typer.Option(min=1)] = 100,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints recall, short results and time with and without the filter, and the rate of writing."""
    bench = open_bench(data_dir)
    documents = [_for_team(made, at) for at, made in enumerate(made_up_documents(chunks, 10, DIMENSIONS))]
    vectors = np.concatenate([made.vectors for made in documents])
    asked = made_up_vectors(7 * chunks, questions, DIMENSIONS) + vectors[:: len(vectors) // questions][:questions]
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    teams = np.array([_team(at // 10) for at in range(chunks)])
    right = {
        "filtered": _nearest(vectors, asked, np.flatnonzero(teams == teams[0])),
        "everything": _nearest(vectors, asked, np.arange(chunks)),
    }
    with TemporaryDirectory() as folder:
        data = Path(folder, "data.npz")
        texts = np.array([chunk.text for made in documents for chunk in made.chunks])
        np.savez(data, vectors=vectors, teams=teams, questions=asked, texts=texts)
        rows = [_row("Pincite", *_ours(bench, documents, asked), right, chunks)]
        rows += [_row(name, *_theirs(python, name, bench.dsn, data), right, chunks) for name in STORES]
    columns = ["store", *(f"{label}{each}" for label in ("1 %: ", "all: ") for each in _ASKED), "chunks written/s"]
    about = f"{chunks:,} made-up chunks, vectors of {DIMENSIONS} given, {questions} questions; the filter leaves 1 %."
    publish(
        "rivals", "Side by side with other stores on pgvector", f"{about}\n\n{markdown(columns, rows)}", record=record
    )


def _team(document: int) -> str:
    return f"team-{document % _TEAMS}"


def _for_team(made: EmbeddedDocument, at: int) -> EmbeddedDocument:
    """The same document, for its team and for everyone."""
    acl = frozenset({f"group:{_team(at)}", _EVERYONE})
    return replace(made, parsed=replace(made.parsed, source=replace(made.parsed.source, acl=acl)))


def _nearest(vectors: Vectors, asked: Vectors, among: NDArray[np.int64]) -> list[frozenset[int]]:
    order = np.argsort(-(asked @ vectors[among].T), axis=1)[:, :LIMIT]
    return [frozenset(among[best].tolist()) for best in order]


def _row(
    name: str, seconds: float, asked: dict[str, Asked], right: dict[str, list[frozenset[int]]], chunks: int
) -> list[str]:
    columns = (column for label in right for column in asked[label].columns(right[label]))
    return [name, *columns, f"{chunks / seconds:,.0f}"]


def _theirs(python: Path, name: str, dsn: str, data: Path) -> tuple[float, dict[str, Asked]]:
    script = Path(__file__).with_name("rival_stores.py")
    ran = subprocess.run(  # noqa: S603 - our own script
        [python, script, name, dsn, data], check=True, stdout=subprocess.PIPE, cwd=data.parent
    )
    report = json.loads(ran.stdout.splitlines()[-1])
    return report.pop("seconds"), {label: Asked(**asked) for label, asked in report.items()}


def _ours(bench: Bench, documents: Sequence[EmbeddedDocument], asked: Vectors) -> tuple[float, dict[str, Asked]]:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS langchain, data_llama, haystack_documents")
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s) ON CONFLICT DO NOTHING", [DIMENSIONS])
    add_tenant(bench.dsn, _TENANT)
    begun = time.perf_counter()
    with open_writer(bench.dsn, _TENANT) as writer:
        for some in batches(documents):
            writer.replace(some, FIRST)
    profile = Generation(embedder="made-up", dimensions=DIMENSIONS)
    build_vector_index(bench.dsn, _TENANT, profile, IngestSettings().index_from)
    tidy(bench.dsn)
    seconds = time.perf_counter() - begun
    with psycopg.connect(bench.dsn) as connection:
        uris = connection.execute("SELECT document_id, uri FROM documents").fetchall()
    first_chunk = {document_id: int(str(uri).rpartition("/")[2]) for document_id, uri in uris}

    async def ask() -> dict[str, Asked]:
        async with open_store(bench.dsn, bench.settings) as store:
            return {
                label: await _ask(store, caller(_TENANT, {group}), asked, first_chunk)
                for label, group in (("filtered", f"group:{_team(0)}"), ("everything", _EVERYONE))
            }

    return seconds, asyncio.run(ask())


async def _ask(store: Store, who: Caller, asked: Vectors, first_chunk: dict[object, int]) -> Asked:
    found, milliseconds = list[list[int]](), list[float]()
    await dense_leg(store, who, asked[0], SearchSettings(candidates=LIMIT))
    for question in asked:
        begun = time.perf_counter()
        hits = (await dense_leg(store, who, question, SearchSettings(candidates=LIMIT))).hits
        milliseconds.append((time.perf_counter() - begun) * 1000)
        found.append([first_chunk[hit.document_id] + hit.ordinal for hit in hits])
    return Asked(found=found, milliseconds=milliseconds)


if __name__ == "__main__":
    typer.run(main)
