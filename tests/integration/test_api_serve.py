"""`pincite serve` as a process: it says where it is, ends in time, and fails in one line."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.e2e.corpus import fill
from tests.e2e.standing import events_of
from tests.fakes import WordEmbedder
from tests.llm_servers.scripted import hang_midway, scripted_llm

SERVE = [sys.executable, "-c", "from pincite import main; main()", "serve"]
# A provider that does not answer: no weights to load, and the answers degrade.
DEAD_EMBEDDER = {
    "PINCITE_EMBEDDER_PROVIDER": "openai",
    "PINCITE_EMBEDDER_MODEL": WordEmbedder.name,
    "PINCITE_EMBEDDER_BASE_URL": "http://127.0.0.1:9/v1",
}


def _environment(dsn: str, extra: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PINCITE_DATABASE_URL": dsn, **DEAD_EMBEDDER, **extra}


@contextmanager
def serving(dsn: str, **extra: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the URL it printed."""
    with subprocess.Popen(
        [*SERVE, "--port", "0"],
        env=_environment(dsn, extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, _url(process)
        finally:
            process.kill()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.fullmatch(r"Pincite is listening on (http://127\.0\.0\.1:\d+)\n", line):
            return found[1]
    raise AssertionError(process.communicate()[1])


def test_it_says_where_it_listens_and_ends_on_a_signal(dsn: str) -> None:
    """The printed URL answers at once; SIGTERM ends the process with exit code 0 and no traceback."""
    with serving(dsn) as (process, url):
        assert httpx2.get(f"{url}/livez").status_code == 200
        assert httpx2.get(url).headers["content-type"].startswith("text/html")
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in stderr


def test_a_signal_ends_open_streams_within_seconds(dsn: str, words: WordEmbedder, tmp_path: Path) -> None:
    """An answer that hangs is ended with an event, then the process ends."""
    keys = fill(dsn, words, tmp_path)
    with (
        scripted_llm(hang_midway("The north gate closes")) as llm,
        serving(dsn, PINCITE_LLM_MODEL="scripted", PINCITE_LLM_BASE_URL=llm.base_url) as (process, url),
        httpx2.stream(
            "POST",
            f"{url}/v1/answers",
            json={"question": "When does the north gate close in the evening?"},
            headers={"Authorization": f"Bearer {keys.plain}"},
        ) as response,
    ):
        assert response.status_code == 200
        seen, begun = "", 0.0
        for text in response.iter_text():
            seen += text
            if "event: text" in seen and not begun:
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
        assert time.monotonic() - begun < 5
        assert process.wait(timeout=10) == 0
        assert llm.wait_for(lambda server: server.disconnects == 1)
    assert events_of(seen)[-1][1]["error"]["code"] == "shutting_down"


def test_a_port_in_use_is_one_line_and_exit_code_2(dsn: str) -> None:
    """Known before any model is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        _assert_refused(dsn, ["--port", port], f"port {port}")


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"PINCITE_RERANKER_PROVIDER": "tei"}, "PINCITE_RERANKER_URL"),
        ({"PINCITE_API_PORT": "many"}, "port"),
    ],
)
def test_an_error_at_start_is_one_line_and_exit_code_2(dsn: str, extra: dict[str, str], word: str) -> None:
    """No traceback: the operator reads what to put right."""
    _assert_refused(dsn, ["--port", "0"] if "PINCITE_API_PORT" not in extra else [], word, **extra)


def _assert_refused(dsn: str, options: list[str], word: str, **extra: str) -> None:
    done = subprocess.run(
        [*SERVE, *options], env=_environment(dsn, extra), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
