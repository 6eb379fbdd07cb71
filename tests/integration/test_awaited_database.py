"""`pincite serve` and `pincite worker` start while the database is away, and take it for away only then."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from structlog.testing import capture_logs

from retrieval.database.reaching import database_reached
from retrieval.errors import StoreUnavailable
from retrieval.settings import DatabaseSettings
from tests.integration.test_api_serve import DEAD_EMBEDDER

COMMANDS = (["serve", "--port", "0"], ["worker"])
READY = {"serve": "Pincite is listening on", "worker": "Pincite's worker waits for documents"}


class Absent:
    """A database's address at which nobody answers until it appears: a socket in a folder of its own."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._socket = folder / ".s.PGSQL.5432"
        with psycopg.connect(dsn) as connection:
            self._real = Path(connection.info.host, f".s.PGSQL.{connection.info.port}")
        self.dsn = make_conninfo(dsn, host=str(folder), port=5432)

    def appear(self) -> None:
        self._socket.symlink_to(self._real)


@pytest.fixture
def absent(dsn: str, tmp_path: Path) -> Absent:
    return Absent(dsn, tmp_path)


@contextmanager
def starting(command: list[str], dsn: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", "from pincite import main; main()", *command],
        env={**os.environ, "PINCITE_DATABASE_URL": dsn, **DEAD_EMBEDDER},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def awaited(process: subprocess.Popen[str]) -> str:
    """The first line that says it waits."""
    assert process.stderr is not None
    return next(line for line in process.stderr if "database_awaited" in line)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_it_waits_for_a_database_that_comes_later(command: list[str], absent: Absent) -> None:
    """It says what it waits for, in lines and no traceback, and is at work once the database is there."""
    with starting(command, absent.dsn) as process:
        assert "it does not answer" in awaited(process)
        absent.appear()
        assert process.stdout is not None
        assert READY[command[0]] in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_signal_ends_the_waiting(command: list[str], absent: Absent) -> None:
    """Stopped before the database came: it ends, without a traceback."""
    with starting(command, absent.dsn) as process:
        awaited(process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_database_that_does_not_exist_is_not_awaited(command: list[str], dsn: str) -> None:
    """The server is there and says no: one line, exit code 2."""
    with starting(command, make_conninfo(dsn, dbname="nowhere")) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert [line for line in stderr.splitlines() if line] == [stderr.strip()]
    assert "refuses us" in stderr
    assert 'database "nowhere" does not exist' in stderr


async def test_a_user_that_does_not_exist_is_not_awaited(dsn: str) -> None:
    """Nor is one whose name or password the server does not take."""
    with pytest.raises(StoreUnavailable, match="refuses us"):
        await database_reached(settings_of(make_conninfo(dsn, user="mallory")))


async def test_patience_has_an_end(absent: Absent) -> None:
    """After so many seconds it says so and gives up; each try before was one line."""
    with capture_logs() as logs, pytest.raises(StoreUnavailable, match=r"away for 1 seconds: .*does not answer"):
        await database_reached(settings_of(absent.dsn), patience=0.7)
    assert {line["event"] for line in logs} == {"database_awaited"}
    assert logs


async def test_nothing_told_of_an_absent_database_holds_its_password(absent: Absent) -> None:
    """Neither the log nor the error."""
    secret = make_conninfo(absent.dsn, password="hunter2")  # noqa: S106 - nobody's
    with capture_logs() as logs, pytest.raises(StoreUnavailable) as raised:
        await database_reached(settings_of(secret), patience=0.1)
    assert "hunter2" not in f"{logs} {raised.value}"


async def test_the_embedded_server_is_not_awaited() -> None:
    """It is started by who needs it."""
    await database_reached(DatabaseSettings(database_url=None))


def settings_of(dsn: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(dsn))
