"""A whole service as processes, any of which can be killed and started again."""

import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg

from retrieval.database import migrations
from retrieval.database.server import database_dsn
from retrieval.settings import DatabaseSettings

PINCITE = [sys.executable, "-c", "from pincite import main; main()"]
_PATIENCE = 120.0
"""Seconds that a restart may take on a busy machine."""


@dataclass(kw_only=True)
class Service:
    """One database, one API, some workers."""

    data: Path
    dsn: str
    port: int
    environment: dict[str, str]
    workers: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    revived: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def parts(self) -> list[str]:
        """What can be killed."""
        return ["database", "api", *(f"worker {number}" for number in range(self.workers))]

    def start(self, part: str) -> None:
        """Starts a part that is not running."""
        if part == "database":
            self._start_database()
            return
        command = ["serve", "--port", str(self.port)] if part == "api" else ["worker"]
        with (self.data.parent / f"{part}.log").open("ab") as log:
            self.processes[part] = subprocess.Popen(
                [*PINCITE, *command], env=self.environment, start_new_session=True, stdout=log, stderr=log
            )

    def revive(self) -> None:
        """Starts again what ended by itself, as whoever runs services does: its database was away as it began."""
        for part, process in list(self.processes.items()):
            if process.poll() is not None:
                self.revived[part.split()[0]] += 1
                self.start(part)

    @property
    def logs(self) -> list[Path]:
        """What the parts said."""
        return [self.data / "log", *self.data.parent.glob("*.log")]

    def kill(self, part: str) -> None:
        """SIGKILL, to all of the part's processes."""
        if part == "database":
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            for pid in [*_children(postmaster), postmaster]:
                _kill(pid)
            _wait_until(lambda: not Path(f"/proc/{postmaster}").exists() or _is_zombie(postmaster))
            return
        process = self.processes.pop(part)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_until_ready(self) -> None:
        """Returns when the API answers."""
        _wait_until(self._comes_up)

    def _comes_up(self) -> bool:
        self.revive()
        return self._is_ready()

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/livez", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def _start_database(self) -> None:
        # As it was started the last time; its memory is given back by the kernel a moment after it dies.
        server, *options = shlex.split((self.data / "postmaster.opts").read_text())
        owner = self.data.owner()
        user = None if pwd.getpwuid(os.getuid()).pw_name == owner else owner
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = [str(Path(server).with_name("pg_ctl")), "start", "-W", "-D", str(self.data), "-l", f"{self.data}/log"]
        _wait_until(lambda: self._can_start([*command, "-o", shlex.join(_without_data(options))], user))

    def _can_start(self, command: Sequence[str], user: str | None) -> bool:
        subprocess.run(command, user=user, check=False, stdout=subprocess.DEVNULL, cwd="/")
        for _ in range(50):
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return True
        return False


@contextmanager
def running(folder: Path, environment: dict[str, str], workers: int = 2) -> Iterator[Service]:
    """The whole service, ready; ended at the end."""
    dsn = database_dsn(DatabaseSettings(data_dir=folder))
    migrations.upgrade(dsn)
    fast = {"PINCITE_DATABASE_URL": dsn, "PINCITE_WORKER_INSIDE": "false", "PINCITE_WORKER_LOST_AFTER": "3"}
    fast |= {"PINCITE_WEBHOOKS_TIMEOUT": "3"}
    service = Service(
        data=folder / "postgres",
        dsn=dsn,
        port=_free_port(),
        environment={**os.environ, **fast, **environment},
        workers=workers,
    )
    try:
        for part in service.parts[1:]:
            service.start(part)
        service.wait_until_ready()
        yield service
    finally:
        for part in [*service.processes, "database"]:  # the library stops only a server that it started itself
            service.kill(part)


def _without_data(options: Sequence[str]) -> list[str]:
    """pg_ctl itself says where the data are."""
    at = options.index("-D") if "-D" in options else len(options)
    return [*options[:at], *options[at + 2 :]]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come up again"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
