"""What a sync touches of a tree of which little changed: `python -m evals.benchmarks.syncing`.

Small Markdown files, synced once, again, after some changed, and after a change of permissions alone. Counted are the
files that were opened, the texts that were embedded and the rows that Postgres wrote; the seconds are this machine's.
The embedder is made up and costs nothing: it is the touching that is counted.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import psycopg
import typer

from evals.benchmarks.measuring import Bench, markdown, open_bench, publish
from ingest.syncing.declared import FolderSource
from ingest.syncing.opening import open_source
from ingest.syncing.run import synchronise
from ingest.syncing.work import SyncRun
from retrieval.models.protocols import Vectors
from retrieval.settings import IngestSettings, OutboundSettings, SyncSettings

_OLD = 10**10  # nanoseconds: a sync trusts no younger file


@dataclass(slots=True)
class CountingEmbedder:
    """Gives every text the same vector, and counts the texts."""

    embedded: int = 0
    name: str = "made-up"
    dimensions: int = 8
    max_tokens: int = 256

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.embedded += len(texts)
        return np.full((len(texts), self.dimensions), self.dimensions**-0.5, dtype=np.float32)

    async def embed_question(self, text: str) -> Vectors:
        return np.asarray(self.embed_documents([text])[0])

    async def embed_now(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    async def ping(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is held."""


def main(
    data_dir: Annotated[Path, typer.Option(help="Of the server; what is in its tables goes")],
    files: Annotated[int, typer.Option(min=100)] = 5000,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints what each run touched."""
    bench, embedder = open_bench(data_dir), CountingEmbedder()
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE tenants CASCADE")
        connection.execute("TRUNCATE generations")
    with TemporaryDirectory() as folder:
        tree = Path(folder)
        for number in range(files):
            _write(tree, number, "oil")
        everyone, staff = (_source(tree, allow) for allow in ("everyone", "group:staff"))
        rows = [_sync(bench, embedder, "the first", everyone), _sync(bench, embedder, "nothing changed", everyone)]
        rows.append(_sync(bench, embedder, _change(tree, files), everyone))
        rows.append(_sync(bench, embedder, "nothing changed", everyone))
        rows.append(_sync(bench, embedder, "other permissions", staff))
    columns = [
        "run",
        "found",
        "files opened",
        "indexed",
        "updated",
        "removed",
        "texts embedded",
        "rows written",
        "seconds",
    ]
    about = f"A folder of {files:,} small Markdown files; an embedder that costs nothing."
    publish("syncing", "A tree is followed", f"{about}\n\n{markdown(columns, rows)}", record=record)


def _change(tree: Path, files: int) -> str:
    """Changes a hundredth of the tree in every way."""
    some = files // 100
    for number in range(some):
        _write(tree, number, "grease")
        _path(tree, some + number).unlink()
        _write(tree, files + number, "water")
        _path(tree, 2 * some + number).touch()
    return f"{some} rewritten, {some} removed, {some} new, {some} touched"


def _sync(bench: Bench, embedder: CountingEmbedder, name: str, source: FolderSource) -> list[object]:
    run = SyncRun(
        dsn=bench.dsn,
        embedder=embedder,
        ingest=IngestSettings(),
        settings=SyncSettings(),
        opening=partial(open_source, outbound=OutboundSettings()),
    )
    embedder.embedded, before = 0, _written(bench.dsn)
    report = synchronise(run, source)
    assert not report.failures
    assert not report.problems
    done = (len(report.indexed), len(report.updated), len(report.removed))
    rows = _written(bench.dsn) - before
    return [name, report.found, report.fetched, *done, embedder.embedded, rows, f"{report.seconds:.1f}"]


def _written(dsn: str) -> int:
    """Rows inserted, updated and deleted in this database, ever, once all that wrote have said so."""
    statement = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'public'"
    while True:
        found = []
        for _ in range(2):
            with psycopg.connect(dsn) as connection:
                found += connection.execute(statement).fetchall()
            time.sleep(1)
        if found[0] == found[1]:
            return int(found[0][0])


def _source(tree: Path, allow: str) -> FolderSource:
    return FolderSource(kind="folder", name="tree", tenant="bench", path=tree, allow=(allow,))


def _path(tree: Path, number: int) -> Path:
    return tree / f"{number % 50:02}" / f"{number}.md"


def _write(tree: Path, number: int, word: str) -> None:
    file = _path(tree, number)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"# Pump {number}\n\nThe pump number {number} needs {word} every {number % 7 + 1} weeks.\n")
    old = file.stat().st_mtime_ns - _OLD
    os.utime(file, ns=(old, old))


if __name__ == "__main__":
    typer.run(main)
