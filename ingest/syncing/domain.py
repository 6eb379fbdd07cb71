"""The nouns of a sync, one frozen record per stage.

Declared → Entry (what the source lists) + Item (what is known of it) → Fetched → SyncReport
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ingest.domain import Failure

LONGEST_URI = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something a source lists. `path` is its place there, for globs and rules; `name` says how it is read.

    While `marker` is the one of the last run its bytes are not read; an empty one is never the same. `locator` is how
    the source finds it again. An entry that is `aside` is no document, but what it `remembered` is kept.
    """

    uri: str
    path: str
    name: str
    marker: str
    size: int
    locator: str
    remembered: Mapping[str, Any] = field(default_factory=dict)
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is known of an entry from the run that stored it. `stored`: there is a document of this uri.

    `intact`: that document is the one the run stored. `failure` is why there is none, or an older one.
    """

    uri: str
    path: str
    marker: str
    recipe: str
    failure: str
    message: str
    remembered: dict[str, Any]
    stored: bool
    intact: bool
    acl: list[str]
    metadata: dict[str, Any]

    @property
    def aside(self) -> bool:
        """Whether it is no document, but something the source remembers."""
        return bool(self.marker) and not self.recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An entry's bytes, in a file called by its name."""

    entry: Entry
    path: Path


class Source(Protocol):
    """A place with documents. One bad document is a `Failure`, not the end."""

    def entries(self, known: Mapping[str, Item], settled: frozenset[str]) -> Iterator[Entry | Failure]:
        """All that is there. `known` is what the last runs left; `settled`, what of it needs no reading while its
        marker stays.

        Raises `SourceUnavailable` when it cannot be listed to its end.
        """

    def fetch(self, entries: Sequence[Entry], folder: Path) -> Iterator[Fetched | Failure]:
        """The bytes of the entries, one after the other, in files below `folder` where they are not files already.

        Raises `SourceUnavailable`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a run did not do all of its work. `code` is stable, such as `source_unavailable`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a run did. `found` counts documents at the source, `unchanged` those of which no byte was read.

    With a problem, nothing was removed. `receipt` is the id of the one for what was.
    """

    tenant: str
    source: str
    found: int
    unchanged: int
    fetched: int
    indexed: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]
    failures: tuple[Failure, ...]
    problems: tuple[Problem, ...]
    chunks: int
    seconds: float
    receipt: str | None = None
