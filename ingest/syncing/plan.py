"""What is to be done with an entry: decided from what is known, without reading a byte of it."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ingest.domain import Failure, SourceFile
from ingest.parsing import SUPPORTED_EXTENSIONS
from ingest.store import typed
from ingest.syncing.domain import LONGEST_URI, Entry, Item
from ingest.syncing.ownership import Ownership, Said
from retrieval.access import NOBODY

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME = 255  # bytes; what file systems take
_NO_PATH = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redescribed:
    """The text is the stored one; who may see it, or what is said of it, is not."""

    source: SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """It is to be read. `recipe` is what its text will be made by."""

    entry: Entry
    said: Said
    recipe: str


Decision = Unchanged | Redescribed | Changed | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rules of one run: whose documents, what is known of them, and what turns bytes into text."""

    owner: Ownership
    known: Mapping[str, Item]
    recipe: str
    max_file_bytes: int

    def wants(self, entry: Entry) -> bool:
        """Whether an entry is a document that the source's owner wants."""
        return PurePosixPath(entry.name).suffix.lower() in SUPPORTED_EXTENSIONS and self.owner.wants(entry.path)

    def decide(self, entry: Entry) -> Decision:
        """What is to be done with a wanted entry."""
        said = self.owner.says(entry.path)
        if (failure := self._objection(entry, said)) is not None:
            return failure
        item = self.known.get(entry.uri)
        if item is None or entry.marker != item.marker or not self._is_settled(item):
            return Changed(entry=entry, said=said, recipe=self._recipe(said))
        if item.failure:
            return Failure(uri=entry.uri, reason=item.failure, message=item.message)
        if frozenset(item.acl) == said.acl and typed(item.metadata) == typed(said.metadata):
            return Unchanged()
        return Redescribed(source=described(entry.uri, said))

    def settled(self) -> frozenset[str]:
        """The uris that need no reading while their markers stay."""
        return frozenset(uri for uri, item in self.known.items() if self._is_settled(item))

    def _is_settled(self, item: Item) -> bool:
        if not item.marker or item.aside:
            return item.aside
        current = item.recipe == self._recipe(self.owner.says(item.path))
        return current and (item.intact or bool(item.failure))

    def _recipe(self, said: Said) -> str:
        return hashlib.sha256(repr((self.recipe, said.title, said.language)).encode()).hexdigest()

    def _objection(self, entry: Entry, said: Said) -> Failure | None:
        if (fault := _fault(entry)) is not None:
            return Failure(uri=printable(entry.uri), reason="bad_name", message=fault)
        if not said.acl:
            message = "who may see it? no rule matches, and the source has no 'allow'; what is stored of it is hidden"
            return Failure(uri=entry.uri, reason="no_acl", message=message)
        if entry.size > self.max_file_bytes:
            message = f"the file is larger than {self.max_file_bytes} bytes"
            return Failure(uri=entry.uri, reason="too_large", message=message)
        return None


def narrowed(known: Iterable[Item], owner: Ownership) -> Iterator[SourceFile]:
    """Stored documents that more people may see than the owner says now, open to those only who could before and still
    may. Their metadata stays with their text."""
    for item in known:
        before, said = frozenset(item.acl), owner.says(item.path)
        if item.stored and not before <= (said.acl or frozenset({NOBODY})):
            kept = said.acl & before or frozenset({NOBODY})
            yield described(item.uri, Said(acl=kept, metadata=item.metadata, title=None, language=None))


def described(uri: str, said: Said, path: Path = _NO_PATH) -> SourceFile:
    """The document as the ingest path takes it; without a path it can be described, but not read."""
    return SourceFile(
        path=path, uri=uri, title=said.title, acl=said.acl, metadata=said.metadata, language=said.language
    )


def printable(uri: str) -> str:
    """The uri as it can be shown and stored."""
    return uri.encode("utf-8", "replace").decode()


def _fault(entry: Entry) -> str | None:
    """Why an entry's name cannot be a document's."""
    try:
        name = entry.name.encode()
        entry.uri.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    if any(part in {"", ".", ".."} for part in entry.path.split("/")) or "/" in entry.name:
        return "its name is a path that leads elsewhere"
    if _CONTROLS.search(entry.uri) or len(name) > _LONGEST_NAME or len(entry.uri) > LONGEST_URI:
        return "its name is too long, or holds characters that are not text"
    return None
