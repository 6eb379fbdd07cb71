"""kill -9 at any moment: the next run ends where an undisturbed one would have ended."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from retrieval.access import tenant_id
from retrieval.search.planning import vector_index_name
from tests.conftest import new_database
from tests.integration.test_ingest import counted_right, everything

RUN = """
import sys
from pathlib import Path
from ingest.sources import Request
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder
folder, everyone = Path(sys.argv[2]), frozenset({"everyone"})
request = Request(paths=(folder,), acl=everyone, metadata={"due": "2026-01-31", "site": "Halden", "final": True})
ingest_folder(sys.argv[1], WordEmbedder(), "acme", request)
"""
KILLS = 20


def test_killed_at_random_moments(server: str, tmp_path: Path) -> None:
    """After twenty runs killed at random moments, a whole one leaves the same index: nothing lost, nothing doubled."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for at in range(400):
        (docs / f"{at:03}.md").write_text(f"# Note {at}\n\n" + f"Valve {at} was opened and pump {at % 7} ran. " * 40)
    moments = random.Random(4)  # noqa: S311 - repeatable, not secret
    for undisturbed in new_database(server):
        begun = time.monotonic()
        subprocess.run(command(undisturbed, docs), check=True)
        whole = time.monotonic() - begun
        for disturbed in new_database(server):
            killed = sum(kill_after(moments.uniform(0.2, 1.05) * whole, disturbed, docs) for _ in range(KILLS))
            assert killed >= KILLS / 4
            subprocess.run(command(disturbed, docs), check=True)
            assert everything(disturbed) == everything(undisturbed)
            counted_right(disturbed)
            assert vector_index_is_valid(disturbed)


def command(dsn: str, docs: Path) -> list[str]:
    return [sys.executable, "-c", RUN, dsn, str(docs)]


def kill_after(seconds: float, dsn: str, docs: Path) -> bool:
    """True when the run was still going."""
    process = subprocess.Popen(command(dsn, docs), start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def vector_index_is_valid(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [vector_index_name(tenant_id("acme"))]
        ).fetchone()
    return row == (True,)
