"""`pincite ingest` as a process: exit codes, what it prints where, and errors in one line."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from starlette.responses import Response

from ingest.sources import Request
from tests.conftest import ingest_folder
from tests.fakes import WordEmbedder
from tests.integration.test_embedding_api import EmbeddingServer, embedding_server

INGEST = [sys.executable, "-c", "from pincite import main; main()", "ingest", "--tenant", "acme"]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Two small documents."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pump.md").write_text("# Pumps\n\nThe red pump needs oil every week.\n")
    (docs / "leave.txt").write_text("Vacation is 25 days a year. It must be taken by March.")
    return docs


@pytest.fixture
def embeddings() -> Iterator[tuple[EmbeddingServer, str]]:
    """A provider of embeddings."""
    with embedding_server() as running:
        yield running


@pytest.fixture
def environment(dsn: str, embeddings: tuple[EmbeddingServer, str]) -> dict[str, str]:
    """An empty database and a working provider. Colour is asked for, as many CI systems do."""
    return {
        **os.environ,
        "PINCITE_DATABASE_URL": dsn,
        "PINCITE_EMBEDDER_PROVIDER": "openai",
        "PINCITE_EMBEDDER_MODEL": "m",
        "PINCITE_EMBEDDER_BASE_URL": embeddings[1],
        "PINCITE_EMBEDDER_TOKENIZER": "none",
        "FORCE_COLOR": "1",
    }


def run(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INGEST, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def documents(environment: dict[str, str]) -> list[str]:
    """The uris in the database."""
    with psycopg.connect(environment["PINCITE_DATABASE_URL"]) as connection:
        return [str(uri) for (uri,) in connection.execute("SELECT uri FROM documents ORDER BY uri")]


def test_a_good_run_is_quiet(environment: dict[str, str], docs: Path) -> None:
    """Exit code 0, one line on stdout; stderr, being no terminal, gets no bar whatever the environment asks for."""
    done = run(environment, docs, "--allow", "everyone")
    assert (done.returncode, said(done)) == (0, [])
    assert done.stdout.startswith("indexed 2 (2 chunks), updated 0, unchanged 0, removed 0, failed 0 in ")
    assert done.stdout.count("\n") == 1
    assert documents(environment) == ["docs/leave.txt", "docs/pump.md"]


def test_a_terminal_gets_a_bar_and_a_pipe_the_report(environment: dict[str, str], docs: Path) -> None:
    """The bar counts up to every document on stderr while stdout stays one JSON document."""
    (docs / "empty.md").touch()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*INGEST, str(docs), "--allow", "everyone", "--json"],
        env={**environment, "TERM": "xterm", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        drawn = terminal_output(ours)
        assert process.stdout is not None
        assert len(json.load(process.stdout)["indexed"]) == 2
    assert process.returncode == 1
    assert "3/3" in drawn
    assert "2 chunks" in drawn


def terminal_output(terminal: int) -> str:
    """All that is written to it until the other side hangs up."""
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:
        pass  # how Linux says that nobody writes any more
    finally:
        os.close(terminal)
    return b"".join(pieces).decode()


def test_the_report_is_one_json_document(environment: dict[str, str], docs: Path) -> None:
    """With --json stdout holds the whole report, failures included and names as they are; exit code 1 says so too."""
    (docs / "résumé.md").touch()
    (docs / os.fsdecode(b"caf\xe9.md")).write_text("Latin-1")
    done = run(environment, docs, "--allow", "everyone", "--json")
    assert (done.returncode, said(done)) == (1, [])
    report = json.loads(done.stdout)
    assert sorted(report["indexed"]) == ["docs/leave.txt", "docs/pump.md"]
    assert {failure["uri"]: failure["reason"] for failure in report["failures"]} == {
        "docs/résumé.md": "empty",
        "docs/caf?.md": "bad_name",
    }
    outcomes = {"indexed", "updated", "unchanged", "removed", "failures"}
    assert report.keys() == outcomes | {"chunks", "without_context", "seconds", "receipt"}


def test_without_permissions_each_document_is_a_failure(environment: dict[str, str], docs: Path) -> None:
    """Neither --allow nor a manifest: nothing is indexed, each document is a line with the remedy, exit code 1."""
    done = run(environment, docs)
    assert (done.returncode, said(done)) == (1, [])
    _, *lines = done.stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"  docs/{name}", "no_acl"] for name in ("leave.txt", "pump.md")
    ]
    assert all("--allow" in line for line in lines)
    assert documents(environment) == []


def test_a_listed_file_that_is_not_there_is_exit_code_1(environment: dict[str, str], docs: Path) -> None:
    """A manifest's missing file is reported; the others are indexed."""
    manifest = docs / "manifest.yaml"
    manifest.write_text(json.dumps({"documents": [{"path": path} for path in ("pump.md", "gone.md")]}))
    done = run(environment, "--manifest", manifest, "--allow", "everyone")
    assert done.returncode == 1
    assert "  docs/gone.md: not_found: no such file" in done.stdout
    assert documents(environment) == ["docs/pump.md"]


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ([], "invalid_input: nothing to ingest"),
        (["{docs}/none"], "invalid_input: {docs}/none: No such file or directory"),
        (["{docs}", "--include", "!"], "invalid_input: not a glob"),
        (["{docs}", "--metadata", "year"], "invalid_input: --metadata wants key=value"),
        (["{docs}", "--allow", "eng"], "invalid_principal: not a principal: 'eng'"),
        (["--manifest", "{docs}/none.yaml"], "invalid_manifest: {docs}/none.yaml: No such file or directory"),
    ],
)
def test_a_run_that_cannot_begin_says_why_in_one_line(docs: Path, arguments: list[str], start: str) -> None:
    """What the caller can put right is one line on stderr and exit code 2, before any model or database is opened."""
    nothing = {**os.environ, "PINCITE_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    assert_one_line(run(nothing, *(argument.format(docs=docs) for argument in arguments)), start.format(docs=docs))


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("postgresql://ada:hunter2@[broken/pincite", "invalid_settings: PINCITE_DATABASE_URL is not a Postgres URL"),
        ("hunter2", "invalid_settings: PINCITE_DATABASE_URL is not a Postgres URL"),
        ("postgresql://ada:hunter2@127.0.0.1:9/pincite", "store_unavailable: "),
    ],
)
def test_a_bad_database_url_is_one_line(docs: Path, url: str, start: str) -> None:
    """A URL that is none, or leads nowhere, is named without its password."""
    done = run({**os.environ, "PINCITE_DATABASE_URL": url}, docs, "--allow", "everyone")
    assert_one_line(done, start)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_database_of_another_model_is_refused(
    environment: dict[str, str], dsn: str, docs: Path, arguments: list[str]
) -> None:
    """Another model's index is an `IndexMismatch`, for a dry run as well, and stays as it was."""
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(docs / "pump.md",), acl=frozenset({"everyone"})))
    done = run(environment, docs, "--allow", "everyone", *arguments)
    assert_one_line(done, "index_mismatch: the index was built by words-64")
    assert documents(environment) == ["pump.md"]


def test_a_dry_run_asks_the_provider_for_no_document(
    environment: dict[str, str], embeddings: tuple[EmbeddingServer, str], docs: Path
) -> None:
    """What would be done is said, and neither the database nor the provider hears of a document."""
    done = run(environment, docs, "--allow", "everyone", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.startswith("would be indexed 2 (2 chunks)")
    assert embeddings[0].requests == []
    assert documents(environment) == []


def test_a_provider_that_fails_is_exit_code_2(
    environment: dict[str, str], embeddings: tuple[EmbeddingServer, str], docs: Path
) -> None:
    """When the model gives way the run ends in one line; a bare folder to prune is refused the same way."""
    assert run(environment, docs / "pump.md", "--allow", "everyone").returncode == 0
    vector = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0, 1.0]}]}
    embeddings[0].faults = [vector, Response(status_code=401)]
    done = run(environment, docs, "--allow", "everyone")
    assert_one_line(done, "embedder_unavailable: the embedding provider failed")
    (docs / "bare").mkdir()
    done = run(environment, docs / "bare", "--prune", "--allow", "everyone")
    assert_one_line(done, "invalid_input: no document was found in")
    assert documents(environment) == ["pump.md"]


def assert_one_line(done: subprocess.CompletedProcess[str], start: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = said(done)
    assert line.startswith(f"pincite: {start}")


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What stands on stderr, less the log's advice on this machine's pgvector and tokenizer."""
    advice = ("pgvector_update_advised", "tokenizer_unavailable")
    return [line for line in done.stderr.splitlines() if not any(each in line for each in advice)]
