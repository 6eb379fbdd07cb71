"""A git repository: one commit's tree, and of its files only those that changed. Nothing is ever checked out.

The git program does it, with no configuration but ours: no hooks, no filters, no submodules, no credential helpers.
"""

import base64
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ingest.domain import Failure
from ingest.syncing.declared import GitSource
from ingest.syncing.domain import Entry, Fetched, Item
from ingest.syncing.spool import Spool, TooLarge
from retrieval.errors import InvalidSources, SourceUnavailable
from retrieval.settings import IngestSettings

_PIECE = 1024 * 1024
_DEADLINE = 1800.0
"""Seconds one command may take."""
_LFS = b"version https://git-lfs.github.com/spec/"
_FILES = frozenset({"100644", "100755"})
_OPTIONS = (
    "core.hooksPath=/dev/null", "credential.helper=", "http.followRedirects=initial", "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60", "gc.auto=0", "maintenance.auto=false", "fetch.negotiationAlgorithm=noop",
    "submodule.recurse=false", "fetch.recurseSubmodules=false",
)  # fmt: skip


class Repository:
    """The files of one commit."""

    def __init__(self, declared: GitSource, git: "Git", max_file_bytes: int) -> None:
        self._declared = declared
        self._git = git
        self._max_file_bytes = max_file_bytes

    def entries(self, known: Mapping[str, Item], settled: frozenset[str]) -> Iterator[Entry | Failure]:
        """All files of the tip; links and submodules are none. Raises `SourceUnavailable`."""
        del known, settled
        self._git.run("init", "--bare", "--quiet", ".")
        self._git.run("remote", "add", "origin", self._declared.url)
        self._fetch([self._declared.ref], "--depth=1")
        listing = self._git.run("ls-tree", "-r", "-z", "--full-tree", "FETCH_HEAD")
        for line in filter(None, listing.split(b"\0")):
            about, _, name = line.partition(b"\t")
            mode, _, blob = about.decode().split(" ")
            if mode in _FILES:
                yield self._entry(os.fsdecode(name), blob)

    def fetch(self, entries: Sequence[Entry], folder: Path) -> Iterator[Fetched | Failure]:
        """The files, in one pack. Raises `SourceUnavailable`."""
        self._fetch(sorted({entry.locator for entry in entries}))
        spool = Spool(folder, self._max_file_bytes)
        with self._git.contents() as contents:
            for entry in entries:
                yield self._fetched(entry, contents, spool)

    def _fetch(self, wanted: Iterable[str], *more: str) -> None:
        options = (*more, "--quiet", "--no-tags", "--filter=blob:none", "--stdin")
        self._git.run("fetch", *options, "origin", given="\n".join(wanted).encode())

    def _entry(self, path: str, blob: str) -> Entry:
        return Entry(
            uri=self._declared.uri(path),
            path=path,
            name=PurePosixPath(path).name,
            marker=blob,
            size=0,
            locator=blob,
        )

    def _fetched(self, entry: Entry, contents: "_Contents", spool: Spool) -> Fetched | Failure:
        size = contents.ask(entry.locator)
        if size > self._max_file_bytes:
            contents.skip(size)
            return Failure(uri=entry.uri, reason="too_large", message=f"the file has {size} bytes")
        try:
            file = spool.write(entry.name, contents.read(size))
        except TooLarge as error:
            return Failure(uri=entry.uri, reason="too_large", message=str(error))
        with file.open("rb") as opened:
            if opened.read(len(_LFS)) == _LFS:
                return Failure(uri=entry.uri, reason="lfs_pointer", message="its bytes lie in Git LFS")
        return Fetched(entry=entry, path=file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """The git program in a folder of its own. `max_bytes` bounds each file that it writes."""

    folder: Path
    environment: Mapping[str, str]
    max_bytes: int

    def run(self, *arguments: str, given: bytes = b"") -> bytes:
        """What the command prints. Raises `SourceUnavailable` when it fails, or takes too long."""
        with self._start(*arguments) as process:
            try:
                out, err = process.communicate(given, timeout=_DEADLINE)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise SourceUnavailable(f"git {arguments[0]} took over {_DEADLINE:.0f} s") from error
            finally:
                process.kill()
        if process.returncode:
            raise SourceUnavailable(f"git {arguments[0]}: {' '.join(err.decode(errors='replace').split())[:300]}")
        return out

    @contextmanager
    def contents(self) -> Iterator["_Contents"]:
        """The contents of blobs, one after the other."""
        with self._start("cat-file", "--batch") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield _Contents(process.stdin, process.stdout)
            finally:
                process.kill()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        options = [part for option in _OPTIONS for part in ("-c", option)]
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and what is not ours stands behind its option
                ["git", *options, *arguments],  # noqa: S607 - the operator's git
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if arguments[0] != "cat-file" else subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise SourceUnavailable("the git program is not installed") from error
        if hasattr(resource, "prlimit"):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self.max_bytes, self.max_bytes))
        return process


class _Contents:
    """A running `git cat-file --batch`."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions = questions
        self._answers = answers

    def ask(self, blob: str) -> int:
        """The blob's size; its bytes are to be read, or skipped, next. Raises `SourceUnavailable`."""
        try:
            self._questions.write(f"{blob}\n".encode())
            self._questions.flush()
        except BrokenPipeError as error:
            raise SourceUnavailable("git cat-file ended") from error
        answer = self._answers.readline().split()
        if len(answer) != len(("blob", "type", "size")) or answer[1] != b"blob":
            raise SourceUnavailable(f"the repository does not give the file {blob}")
        return int(answer[2])

    def read(self, size: int) -> Iterator[bytes]:
        """The blob that was asked for. Raises `SourceUnavailable` when it breaks off."""
        left = size + 1  # and the newline after it
        while left:
            piece = self._answers.read(min(left, _PIECE))
            if not piece:
                raise SourceUnavailable("git cat-file ended")
            left -= len(piece)
            yield piece if left else piece[:-1]

    def skip(self, size: int) -> None:
        """Reads past the blob."""
        for _ in self.read(size):
            pass


@contextmanager
def open_repository(declared: GitSource, limits: IngestSettings) -> Iterator[Repository]:
    """The repository as a source, in a temporary folder. Raises `InvalidSources` where its token is not set."""
    with tempfile.TemporaryDirectory(prefix="pincite-git-") as folder:
        environment = _environment(declared, Path(folder))
        git = Git(folder=Path(folder), environment=environment, max_bytes=declared.max_bytes)
        yield Repository(declared, git, limits.max_file_bytes)


def _environment(declared: GitSource, folder: Path) -> dict[str, str]:
    """What git is told: nothing of this machine's configuration, and the token where no process list shows it."""
    kept = {name: os.environ[name] for name in ("PATH", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO") if name in os.environ}
    told = {
        "HOME": os.environ.get("HOME", str(folder)),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    return kept | told | _authorization(declared)


def _authorization(declared: GitSource) -> dict[str, str]:
    if declared.token is None:
        return {}
    token = os.environ.get(declared.token)
    if not token:
        raise InvalidSources(f"{declared.name}: {declared.token} is not set")
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }
