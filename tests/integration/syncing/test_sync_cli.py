"""`pincite sync` as a process: exit codes, what it prints, what it leaves when it is killed."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_embedding_api import embedding_server
from tests.integration.test_ingest import counted_right
from tests.syncing import documents, write

SYNC = [sys.executable, "-c", "from pincite import main; main()", "sync"]
DECLARED = """
sources:
  - {name: docs, tenant: acme, kind: folder, path: docs, allow: [everyone], schedule: "* * * * *"}
  - {name: away, tenant: acme, kind: folder, path: nowhere, allow: [everyone]}
"""


@pytest.fixture
def environment(dsn: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An empty database, a provider of embeddings, two sources of which one is away."""
    (tmp_path / "sources.yaml").write_text(DECLARED)
    write(tmp_path / "docs", {f"{number}.md": f"# Part {number}\n\nPump {number} needs oil." for number in range(30)})
    with embedding_server() as (_, url):
        yield {
            **os.environ,
            "PINCITE_DATABASE_URL": dsn,
            "PINCITE_EMBEDDER_PROVIDER": "openai",
            "PINCITE_EMBEDDER_MODEL": "m",
            "PINCITE_EMBEDDER_BASE_URL": url,
            "PINCITE_EMBEDDER_TOKENIZER": "none",
            "PINCITE_SYNC_SOURCES": str(tmp_path / "sources.yaml"),
        }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SYNC, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_reports_and_exit_codes(environment: dict[str, str], dsn: str) -> None:
    """A line for each source; 1 where one could not be done, 2 where nothing could, one JSON line each on demand."""
    done = run(environment)
    assert done.returncode == 1
    docs, away, problem = done.stdout.splitlines()
    assert docs.startswith("docs: found 30, unchanged 0, fetched 30, indexed 30 (30 chunks), updated 0, removed 0")
    assert away.startswith("away: found 0")
    assert problem.startswith("  source_unavailable: there is no folder")
    done = run(environment, "docs", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["unchanged"], report["problems"]) == (0, 30, [])
    done = run(environment, "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not_found: no source is called 'nothing'" in done.stderr
    assert len(documents(dsn)) == 30


def test_killed_at_any_moment_and_carried_on(environment: dict[str, str], dsn: str, tmp_path: Path) -> None:
    """However often a sync is killed, the one that is left alone ends with what the source says: nothing lost, doubled
    or left over."""
    chance = random.Random(5)  # noqa: S311 - no secret
    for _ in range(3):
        with subprocess.Popen([*SYNC, "docs"], env=environment, stdout=subprocess.DEVNULL) as killed:
            try:
                killed.wait(timeout=chance.uniform(1.5, 6))
            except subprocess.TimeoutExpired:
                killed.kill()
        lost = chance.choice(sorted((tmp_path / "docs").iterdir()))
        lost.unlink()
        write(tmp_path / "docs", {f"{chance.random()}.md": f"# New\n\n{chance.random()}"})
    assert run(environment, "docs").returncode == 0
    assert set(documents(dsn)) == {f"docs/{file.name}" for file in (tmp_path / "docs").iterdir()}
    counted_right(dsn)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM sync_items").fetchall() == [(30,)]
    assert "unchanged 30" in run(environment, "docs").stdout


def test_two_syncs_at_once(environment: dict[str, str], dsn: str) -> None:
    """One of them steps back, or comes after the other; together they do the work once."""
    both = [subprocess.Popen([*SYNC, "docs"], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert sum("indexed 30" in each for each in said) == 1
    assert sum("already_running" in each or "unchanged 30" in each for each in said) == 1
    counted_right(dsn)


def test_a_source_that_fails_holds_up_no_other(environment: dict[str, str], dsn: str, tmp_path: Path) -> None:
    """While it is watched, each has its turn, whatever the one before comes to."""
    broken = "{name: broken, tenant: acme, kind: folder, path: docs, manifest: none.yaml, allow: [everyone]"
    declared = DECLARED.replace("sources:", f'sources:\n  - {broken}, schedule: "* * * * *"}}')
    (tmp_path / "sources.yaml").write_text(declared)
    with subprocess.Popen([*SYNC, "--watch"], env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        said = next(line for line in watching.stdout if "found 30" in line or "Error" in line)
        watching.kill()
    assert said.startswith("docs: found 30")
    assert len(documents(dsn)) == 30
