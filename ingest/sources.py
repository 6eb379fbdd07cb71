"""Which files a run is about, and what their owner says of each."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.domain import Failure, Metadata, SourceFile
from ingest.languages import DETECTABLE
from ingest.parsing import SUPPORTED_EXTENSIONS
from retrieval.access import principal
from retrieval.errors import InvalidManifest, InvalidPrincipal


class ManifestEntry(BaseModel):
    """One document in a manifest. What is absent comes from the command line or from the file itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    uri: str | None = Field(None, min_length=1, max_length=600)
    title: str | None = Field(None, min_length=1)
    allow: list[str] | None = Field(None, min_length=1)
    language: str | None = None
    metadata: dict[str, str | int | float | bool] = Field(default_factory=dict)


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: list[ManifestEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line."""

    paths: tuple[Path, ...] = ()
    manifest: Path | None = None
    acl: frozenset[str] = frozenset()
    metadata: Metadata = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files to ingest, those that cannot be, and what `--prune` may look at.

    `present` are all uris that exist at the source, excluded ones too; `scopes` the uri prefixes they live under.
    """

    sources: tuple[SourceFile, ...]
    failures: tuple[Failure, ...]
    present: frozenset[str]
    scopes: tuple[str, ...]

    def gone(self, known: Iterable[str]) -> list[str]:
        """Known uris inside the scopes that are no longer at the source."""
        return sorted(uri for uri in known if uri.startswith(self.scopes) and uri not in self.present)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    path: Path
    uri: str
    relative: str


def select(request: Request) -> Selection:
    """Walks the paths and reads the manifest. A manifest without paths is the list of files itself.

    Raises `InvalidManifest`, `InvalidPrincipal`, and FileNotFoundError for a path that does not exist.
    """
    entries = _read_manifest(request.manifest) if request.manifest else {}
    if request.paths:
        roots = [path.resolve(strict=True) for path in request.paths]
        found = [file for root in roots for file in _walk(root)]
        scopes = tuple(f"{root.name}/" for root in roots if root.is_dir())
    else:
        assert request.manifest is not None
        folder = request.manifest.resolve().parent
        found = [_Found(path=path, uri=_uri(folder, path), relative=entry.path) for path, entry in entries.items()]
        scopes = (f"{folder.name}/",)
    return _selection(request, found, entries, scopes)


def _selection(
    request: Request, found: Sequence[_Found], entries: dict[Path, ManifestEntry], scopes: tuple[str, ...]
) -> Selection:
    wanted = _filter(request.include, request.exclude)
    sources: dict[str, SourceFile] = {}
    failures: list[Failure] = []
    present: set[str] = set()
    for file in found:
        source = _source(request, file, entries.get(file.path))
        present.add(source.uri)
        if not wanted(file.relative):
            continue
        failure = _objection(source, sources)
        if failure is None:
            sources[source.uri] = source
        else:
            failures.append(failure)
    return Selection(
        sources=tuple(sources.values()), failures=tuple(failures), present=frozenset(present), scopes=scopes
    )


def _source(request: Request, file: _Found, entry: ManifestEntry | None) -> SourceFile:
    allow = frozenset(entry.allow) if entry is not None and entry.allow is not None else request.acl
    return SourceFile(
        path=file.path,
        uri=(entry.uri if entry is not None else None) or file.uri,
        title=entry.title if entry is not None else None,
        acl=allow,
        metadata={**request.metadata, **(entry.metadata if entry is not None else {})},
        language=entry.language if entry is not None else None,
    )


def _objection(source: SourceFile, taken: dict[str, SourceFile]) -> Failure | None:
    def failure(reason: str, message: str) -> Failure:
        return Failure(uri=source.uri.encode("utf-8", "replace").decode(), reason=reason, message=message)

    try:
        source.uri.encode()
    except UnicodeEncodeError:
        return failure("bad_name", "the file's name is not valid UTF-8")
    if len(source.uri) > 600:
        return failure("bad_name", "the uri is longer than 600 characters")
    if source.uri in taken:
        return failure("duplicate_uri", f"also the uri of {taken[source.uri].path}")
    if not source.acl:
        return failure("no_acl", "nobody could see it: say --allow, or 'allow' in the manifest ('everyone' is a word)")
    if not source.path.is_file():
        return failure("not_found", f"no such file: {source.path}")
    return None


def _walk(root: Path) -> Iterator[_Found]:
    if root.is_file():
        yield _Found(path=root, uri=root.name, relative=root.name)
        return

    def stop(error: OSError) -> None:
        # A folder that cannot be read must not look like one whose documents are gone.
        raise error

    for folder, folders, files in os.walk(root, onerror=stop):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in SUPPORTED_EXTENSIONS:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                continue
            yield _Found(path=path, uri=_uri(root, path), relative=path.relative_to(root).as_posix())


def _uri(root: Path, path: Path) -> str:
    return f"{root.name}/{path.relative_to(root).as_posix()}"


def _filter(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    included = GitIgnoreSpec.from_lines(include or ["*"])
    excluded = GitIgnoreSpec.from_lines(exclude)
    return lambda relative: included.match_file(relative) and not excluded.match_file(relative)


def _read_manifest(manifest: Path) -> dict[Path, ManifestEntry]:
    """Entries by the file they describe. Raises `InvalidManifest`, naming the entry."""
    folder = manifest.resolve().parent
    try:
        text = manifest.read_text(encoding="utf-8")
        entries = _jsonl(text) if manifest.suffix == ".jsonl" else _yaml(text)
        for entry in entries:
            _check_entry(entry, folder)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, ValueError, InvalidPrincipal) as error:
        raise InvalidManifest(f"{manifest}: {error}") from error
    return {folder / entry.path: entry for entry in entries}


def _jsonl(text: str) -> list[ManifestEntry]:
    return [_line(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _line(number: int, line: str) -> ManifestEntry:
    try:
        return ManifestEntry.model_validate(json.loads(line))
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _yaml(text: str) -> list[ManifestEntry]:
    content: Any = yaml.safe_load(text)
    return _Manifest.model_validate(content).documents


def _check_entry(entry: ManifestEntry, folder: Path) -> None:
    if not (folder / entry.path).resolve().is_relative_to(folder):
        raise ValueError(f"{entry.path}: lies outside the manifest's folder")
    if entry.language is not None and entry.language not in DETECTABLE:
        raise ValueError(f"{entry.path}: language {entry.language!r} is not one of {', '.join(sorted(DETECTABLE))}")
    for name in entry.allow or ():
        principal(name)
