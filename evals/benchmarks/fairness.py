"""How long one tenant's document takes while another loads 50,000: `python -m evals.benchmarks.fairness`.

One `pincite worker` with the default model. The small tenant hands one document in, waits until it can be found, and
hands in the next; first with nothing else to do, then behind the large tenant's load.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer

from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import markdown, publish
from ingest.queueing.line import open_line
from ingest.queueing.records import Submission
from ingest.store import add_tenant
from retrieval.access import tenant_id
from retrieval.database.preparing import prepare_database
from retrieval.settings import DatabaseSettings, Settings

_LARGE, _SMALL = tenant_id("large"), tenant_id("small")
_TOGETHER = 1000
_POLL = 0.02  # seconds


def main(
    documents: Annotated[int, typer.Option(help="The large tenant's load")] = 50_000,
    rounds: Annotated[int, typer.Option(help="The small tenant's documents, each time")] = 30,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints the table."""
    words = MadeUpWords(documents + 2 * rounds)
    with tempfile.TemporaryDirectory(prefix="pincite-fairness-") as folder, _worker(Path(folder)) as dsn:
        for tenant in (_LARGE, _SMALL):
            add_tenant(dsn, tenant)
        _seconds(dsn, words, range(1))  # the model is loaded, the parser started
        alone = [_seconds(dsn, words, range(at, at + 1)) for at in range(rounds)]
        begun = time.monotonic()
        with open_line(dsn, _LARGE) as line:
            for start in range(0, documents, _TOGETHER):
                line.submit("bench", [_submission(words, at) for at in range(start, min(start + _TOGETHER, documents))])
        handed_in = time.monotonic() - begun
        beside = [_seconds(dsn, words, range(at, at + 1)) for at in range(rounds, 2 * rounds)]
        left = _left(dsn)
    rows = [["alone", *_told(alone)], [f"behind {documents:,} documents", *_told(beside)]]
    about = (
        f"Seconds from handing in to being found, {rounds} documents one after the other; one worker with two turns at"
        f" once. The large tenant's {documents:,} documents were handed in within {handed_in:.0f} s; {left:,} of them"
        " still waited at the end."
    )
    publish(
        "fairness", "A turn for everyone", f"{about}\n\n{markdown(['', 'p50', 'p95', 'most'], rows)}", record=record
    )


@contextmanager
def _worker(folder: Path) -> Iterator[str]:
    """A database with one worker, and its DSN."""
    dsn = prepare_database(Settings(database=DatabaseSettings(data_dir=folder, database_url=None)))
    command = [shutil.which("pincite") or "pincite", "worker"]
    worker = subprocess.Popen(command, env=os.environ | {"PINCITE_DATABASE_URL": dsn}, start_new_session=True)  # noqa: S603 - our own
    try:
        yield dsn
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _seconds(dsn: str, words: MadeUpWords, which: range) -> float:
    """How long the small tenant's document takes."""
    with open_line(dsn, _SMALL) as line:
        begun = time.monotonic()
        job = line.submit("bench", [_submission(words, at) for at in which]).job_id
        with psycopg.connect(dsn, autocommit=True) as connection:
            while True:
                row = connection.execute("SELECT finished_at FROM jobs WHERE job_id = %s", [job]).fetchone()
                if row is not None and row[0] is not None:
                    return time.monotonic() - begun
                time.sleep(_POLL)


def _left(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT sum(waiting) FROM jobs WHERE tenant_id = %s", [_LARGE]).fetchone()
    return int(row[0]) if row else 0


def _submission(words: MadeUpWords, number: int) -> Submission:
    return Submission(
        uri=f"{number}.txt",
        file_name=f"{number}.txt",
        content=words.text(number).encode(),
        url=None,
        title=None,
        language="en",
        acl=frozenset({"everyone"}),
        metadata={},
    )


def _told(seconds: list[float]) -> list[str]:
    return [f"{value:.2f} s" for value in (*np.percentile(seconds, [50, 95]), max(seconds))]


if __name__ == "__main__":
    typer.run(main)
