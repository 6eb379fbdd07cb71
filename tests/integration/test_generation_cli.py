"""`pincite reembed` and `pincite generations` as processes: what they build, when they refuse, and where they lead."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_embedding_api import embedding_server

PINCITE = [sys.executable, "-c", "from pincite import main; main()"]


@pytest.fixture
def environment(dsn: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Three documents, ingested by a provider's model `m`."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("pump", "valve", "gauge"):
        (docs / f"{name}.md").write_text(f"# {name}\n\nThe {name} is checked every week.\n")
    with embedding_server() as (_, url):
        environment = {
            **os.environ,
            "PINCITE_DATABASE_URL": dsn,
            "PINCITE_EMBEDDER_PROVIDER": "openai",
            "PINCITE_EMBEDDER_MODEL": "m",
            "PINCITE_EMBEDDER_BASE_URL": url,
            "PINCITE_EMBEDDER_TOKENIZER": "none",
            "PINCITE_EMBEDDER_API_KEY": "sk-not-to-be-kept",
        }
        assert run(environment, "ingest", "--tenant", "acme", "--allow", "everyone", docs).returncode == 0
        yield environment


def run(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PINCITE, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def states(environment: dict[str, str]) -> dict[int, str]:
    with psycopg.connect(environment["PINCITE_DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT generation_id, state FROM generations ORDER BY 1").fetchall()
    return {int(number): str(state) for number, state in rows}


def test_from_one_model_to_another_and_back(environment: dict[str, str], tmp_path: Path) -> None:
    """Estimated, built, refused without questions, moved to with them, served though another model is configured, left
    again, and dropped."""
    estimated = run(environment, "reembed", "--model", "n", "--dry-run")
    assert estimated.returncode == 0
    assert "3 chunks, by n" in estimated.stderr
    assert states(environment) == {1: "live"}

    assert "--yes" in run(environment, "reembed", "--model", "n").stderr
    refused = run(environment, "reembed", "--model", "n", "--yes")
    assert (refused.returncode, states(environment)) == (1, {1: "live", 2: "ready"})
    assert "no --questions" in refused.stderr
    assert run(environment, "reembed", "--model", "o", "--yes").returncode == 2

    questions = tmp_path / "questions.jsonl"
    asked = {"tenant": "acme", "question": "pump checked", "relevant": ["docs/pump.md"]}
    questions.write_text(json.dumps(asked) + "\n")
    moved = run(environment, "reembed", "--model", "n", "--yes", "--questions", questions)
    assert (moved.returncode, states(environment)) == (0, {1: "retired", 2: "live"}), moved.stderr
    assert "nDCG@10: 1.000 → 1.000" in moved.stderr

    ingested = run(environment, "ingest", "--tenant", "acme", "--allow", "everyone", tmp_path / "docs")
    assert "unchanged 3" in ingested.stdout, ingested.stderr
    assert "pump" in run(environment, "ask", "--tenant", "acme", "how often is the pump checked?").stdout
    assert run(environment, "generations", "list").stdout.count("live") == 1

    assert run(environment, "generations", "rollback").returncode == 0
    assert states(environment) == {1: "live", 2: "retired"}
    assert run(environment, "generations", "drop", "2").returncode == 2
    assert run(environment, "generations", "drop", "2", "--force").returncode == 0
    assert states(environment) == {1: "live", 2: "dropped"}


def test_nothing_secret_is_recorded(environment: dict[str, str]) -> None:
    """How a model is opened is kept in the database; its key is not, nor is one in its address."""
    assert run(environment, "reembed", "--model", "n", "--yes", "--force").returncode == 0
    with psycopg.connect(environment["PINCITE_DATABASE_URL"]) as connection:
        kept = str(connection.execute("SELECT opening FROM generations").fetchall())
    assert "'model': 'n'" in kept
    assert "sk-not" not in kept
    refused = run(environment, "reembed", "--model", "p", "--base-url", "http://me:sk-not@localhost/v1", "--yes")
    assert refused.returncode == 2
    assert "API_KEY" in refused.stderr


def test_a_run_that_goes_on_elsewhere_is_served_from_there(environment: dict[str, str]) -> None:
    """What was begun at another address of the same model is opened, once it is live, at the one it was ended by."""
    configured = {**environment, "PINCITE_EMBEDDER_MODEL": "o"}
    with embedding_server() as (_, gone):
        assert run(environment, "reembed", "--model", "n", "--base-url", gone, "--yes").returncode == 1
    here = environment["PINCITE_EMBEDDER_BASE_URL"]
    assert run(environment, "reembed", "--model", "n", "--base-url", here, "--yes", "--force").returncode == 0
    found = run(configured, "ask", "--tenant", "acme", "how often is the pump checked?")
    assert "degraded" not in found.stdout + found.stderr


def test_questions_are_read_before_anything_is_built(environment: dict[str, str], tmp_path: Path) -> None:
    """A file that says nothing costs no hours."""
    (tmp_path / "empty.jsonl").write_text("")
    refused = run(environment, "reembed", "--model", "n", "--yes", "--questions", tmp_path / "empty.jsonl")
    assert "no question" in refused.stderr
    assert (refused.returncode, states(environment)) == (2, {1: "live"})


def test_what_came_since_it_was_built_is_not_held_against_it(environment: dict[str, str], tmp_path: Path) -> None:
    """Before questions are asked of a generation, it has the documents that they are about."""
    assert run(environment, "reembed", "--model", "n", "--yes").returncode == 1
    (tmp_path / "docs" / "crane.md").write_text("# crane\n\nThe crane is greased every month.\n")
    assert run(environment, "ingest", "--tenant", "acme", "--allow", "everyone", tmp_path / "docs").returncode == 0
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"tenant": "acme", "question": "crane greased", "relevant": ["docs/crane.md"]}\n')
    moved = run(environment, "generations", "cutover", "2", "--questions", questions)
    assert (moved.returncode, states(environment)) == (0, {1: "retired", 2: "live"}), moved.stderr
