"""How much of the embedder's own rate a whole ingest keeps: `python -m evals.ingest_rate FOLDER`.

Ingests the folder into an empty embedded database, then embeds a sample of the same chunks with nothing else going on.
Both in one run, so that the ratio travels where the absolute rates do not.
"""

import atexit
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ingest.pipeline import Run, ingest
from ingest.sources import Request, select
from retrieval.access import EVERYONE, tenant_id
from retrieval.database.preparing import prepare_database
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder, Vectors
from retrieval.settings import DatabaseSettings, Settings

_SAMPLE = 2048
"""Chunks embedded alone: eight of the ingest path's batches."""


class _Recording:
    """The embedder, and the texts that went through it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dimensions, self.max_tokens = embedder.name, embedder.dimensions, embedder.max_tokens
        self.texts: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.texts.extend(texts)
        return self._embedder.embed_documents(texts)

    async def embed_question(self, text: str) -> Vectors:
        return await self._embedder.embed_question(text)

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return await self._embedder.embed_now(texts)

    async def ping(self) -> None:
        await self._embedder.ping()

    async def close(self) -> None:
        await self._embedder.close()


def main(folder: Path, workers: Annotated[int, typer.Option(min=1)] = 1) -> None:
    """Prints both rates and their ratio."""
    data = Path(tempfile.mkdtemp(prefix="pincite-rate-"))
    # Registered before the embedded server registers its own end, and so run after it.
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    settings = Settings(database=DatabaseSettings(data_dir=data, database_url=None))
    embedder = _Recording(load_embedder(settings.embedder))
    run = Run(
        dsn=prepare_database(settings),
        tenant=tenant_id("rate"),
        embedder=embedder,
        settings=settings.ingest,
        workers=workers,
    )
    report = ingest(run, select(Request(paths=(folder,), acl=frozenset({EVERYONE}))))
    for failure in report.failures:
        typer.echo(f"{failure.uri}: {failure.reason}: {failure.message}")
    whole = report.chunks / report.seconds
    alone = _alone(embedder)
    typer.echo(
        f"{len(report.indexed)} documents, {report.chunks} chunks, {len(report.failures)} failures, "
        f"{report.seconds:.0f} s, the index included\n"
        f"ingest {whole:.1f} chunks/s · embedder alone {alone:.1f} chunks/s · ratio {whole / alone:.2f}"
    )


def _alone(embedder: _Recording) -> float:
    """Chunks per second of the embedder with nothing else running."""
    sample = random.Random(0).sample(embedder.texts, min(_SAMPLE, len(embedder.texts)))  # noqa: S311 - repeatable
    begun = time.monotonic()
    embedder.embed_documents(sample)
    return len(sample) / (time.monotonic() - begun)


if __name__ == "__main__":
    typer.run(main)
