"""What a source's owner says of each document: who may see it, and what it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from ingest.domain import Metadata
from ingest.sources import ManifestEntry, file_key, globs, read_manifest
from ingest.syncing.declared import Declared, FolderSource
from retrieval.errors import InvalidSources


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of a document. An empty `acl`: nobody said who may see it."""

    acl: frozenset[str]
    metadata: Metadata
    title: str | None
    language: str | None


class Ownership:
    """The rules of one source, and its manifest where it has one.

    Raises `InvalidManifest`, and `InvalidSources` for a manifest that gives documents other uris.
    """

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._rules = [(_spec([rule.match]), frozenset(rule.allow)) for rule in declared.rules]
        self._wanted = globs(declared.include, declared.exclude)
        self._entries = _manifest(declared)

    def wants(self, path: str) -> bool:
        """Whether a place is included and not excluded."""
        return self._wanted(path)

    def says(self, path: str) -> Said:
        """Of the document at a place: the manifest first, then the first rule that matches, then the source."""
        entry = self._entries.get(path)
        return Said(
            acl=frozenset(entry.allow) if entry is not None and entry.allow else self._allowed(path),
            metadata={**self._declared.metadata, **(entry.metadata if entry is not None else {})},
            title=entry.title if entry is not None else None,
            language=(entry.language if entry is not None else None) or self._declared.language,
        )

    def _allowed(self, path: str) -> frozenset[str]:
        matching = (allow for spec, allow in self._rules if spec.match_file(path))
        return next(matching, frozenset(self._declared.allow))


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(lines, backend="simple")


def _manifest(declared: Declared) -> Mapping[str, ManifestEntry]:
    """The manifest's entries by their place in the folder."""
    if not isinstance(declared, FolderSource) or declared.manifest is None:
        return {}
    entries = read_manifest(declared.manifest)
    if named := [entry.uri for entry in entries.values() if entry.uri is not None]:
        raise InvalidSources(f"{declared.manifest}: a synced document has no uri of its own ({named[0]})")
    root = file_key(declared.path) + "/"
    return {key.removeprefix(root): entry for key, entry in entries.items() if key.startswith(root)}
