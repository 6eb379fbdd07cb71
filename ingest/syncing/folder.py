"""A folder on this machine. What changed shows in times and sizes; nothing is copied."""

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ingest.domain import Failure
from ingest.sources import Found, walk
from ingest.syncing.declared import FolderSource
from ingest.syncing.domain import Entry, Fetched, Item
from retrieval.errors import SourceUnavailable

_SETTLED = 2 * 10**9
"""Nanoseconds after which a second change shows in a file's time, even on a coarse file system."""

_LEADS_NOWHERE = frozenset({errno.ENOENT, errno.ELOOP})
"""One name, not the folder: that is listed to its end all the same."""


class Folder:
    """The files below the folder."""

    def __init__(self, declared: FolderSource) -> None:
        self._declared = declared

    def entries(self, known: Mapping[str, Item], settled: frozenset[str]) -> Iterator[Entry | Failure]:
        """All files, in order. Raises `SourceUnavailable` when a folder in it cannot be read."""
        del known, settled
        now = time.time_ns()
        try:
            if not self._declared.path.is_dir():
                raise SourceUnavailable(f"there is no folder {self._declared.path}")
            for found in walk(self._declared.path, None):
                yield self._entry(found, now)
        except OSError as error:
            raise SourceUnavailable(f"{error.filename}: {error.strerror}") from error

    def fetch(self, entries: Sequence[Entry], folder: Path) -> Iterator[Fetched | Failure]:
        """The files themselves."""
        del folder
        for entry in entries:
            yield Fetched(entry=entry, path=Path(entry.locator))

    def _entry(self, found: Found, now: int) -> Entry | Failure:
        uri = self._declared.uri(found.relative)
        try:
            status = os.stat(found.path)  # noqa: PTH116 - a name that is not UTF-8 is none for Path either, but is there
        except OSError as error:
            if error.errno not in _LEADS_NOWHERE:
                raise
            return Failure(uri=uri, reason="not_found", message="it went away, or its link leads nowhere")
        if not stat.S_ISREG(status.st_mode):
            return Failure(uri=uri, reason="not_found", message="it is no file: a pipe, a socket or a device")
        settled = status.st_mtime_ns < now - _SETTLED
        return Entry(
            uri=uri,
            path=found.relative,
            name=found.path.name,
            marker=f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_size}" if settled else "",
            size=status.st_size,
            locator=str(found.path),
        )


@contextmanager
def open_folder(declared: FolderSource) -> Iterator[Folder]:
    """The folder as a source."""
    yield Folder(declared)
