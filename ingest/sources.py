"""Which files a run is about, and what their owner says of each."""

import errno
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml
from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingest.domain import Failure, Metadata, SourceFile
from ingest.languages import LANGUAGES
from ingest.parsing import SUPPORTED_EXTENSIONS
from retrieval.access import principal
from retrieval.errors import InputError, InvalidManifest, InvalidPrincipal

Finite = Annotated[float, Field(allow_inf_nan=False)]


class ManifestEntry(BaseModel):
    """One document in a manifest. What is absent comes from the command line or from the file itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    uri: str | None = Field(None, min_length=1, max_length=600)
    title: str | None = Field(None, min_length=1)
    allow: list[str] = Field(default_factory=list, min_length=1)
    language: str | None = None
    metadata: dict[str, str | int | bool | Finite] = Field(default_factory=dict)


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
    prefix: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files to ingest, those that cannot be, and what `--prune` may look at.

    `present` are all uris that exist at the source, excluded ones too; `scopes` the uri prefixes they live under;
    `bare` are the folders without a single document.
    """

    sources: tuple[SourceFile, ...]
    failures: tuple[Failure, ...]
    present: frozenset[str]
    scopes: tuple[str, ...]
    bare: tuple[Path, ...] = ()
    only_listed: bool = False
    """A manifest alone said what there is: others may stand beside it, with uris of their own choice."""

    def gone(self, known: Iterable[str]) -> list[str]:
        """Known uris inside the scopes that are no longer at the source.

        Raises `InputError` when a folder is bare: an unmounted disk must not look like a deleted archive.
        """
        if self.bare:
            raise InputError(f"no document was found in {self.bare[0]}: nothing is pruned")
        gone = (uri for uri in known if uri.startswith(self.scopes) and uri not in self.present)
        return sorted(uri for uri in gone if not self.only_listed or _is_file_name(uri))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file on disk. `relative` is its place below the folder."""

    path: Path
    uri: str
    relative: str


def select(request: Request) -> Selection:
    """Walks the paths and reads the manifest. A manifest without paths is the list of files itself.

    Raises `InvalidManifest`, `InvalidPrincipal`, and FileNotFoundError for a path that does not exist.
    """
    entries = read_manifest(request.manifest) if request.manifest else {}
    roots = [_absolute(path) for path in request.paths]
    if request.manifest and not roots:
        roots = [_absolute(request.manifest).parent]
    itself = file_key(_absolute(request.manifest)) if request.manifest else ""
    walked = {
        root: tuple(file for file in walk(root, request.prefix) if file_key(file.path) != itself) for root in roots
    }
    on_disk = [file for files in walked.values() for file in files]
    folders = {root: files for root, files in walked.items() if root.is_dir()}
    if request.paths:
        selection = _selection(request, on_disk, entries, folders)
        return replace(selection, failures=(*selection.failures, *_unused(entries, on_disk, roots)))
    listed = [_listed(roots[0], key, request.prefix) for key in entries]
    selection = _selection(request, listed, entries, folders)
    # A document that is no longer listed but still there may belong to another manifest: it is not gone.
    return replace(selection, present=selection.present | {file.uri for file in on_disk}, only_listed=True)


def _selection(
    request: Request,
    found: Sequence[Found],
    entries: Mapping[str, ManifestEntry],
    folders: Mapping[Path, Sequence[Found]],
) -> Selection:
    wanted = globs(request.include, request.exclude)
    sources: dict[str, SourceFile] = {}
    failures: list[Failure] = []
    present: set[str] = set()
    for file in found:
        source = _source(request, file, entries.get(file_key(file.path)))
        present.add(source.uri)
        if not wanted(file.relative):
            continue
        failure = _objection(source, sources)
        if failure is None:
            sources[source.uri] = source
        else:
            failures.append(failure)
    return Selection(
        sources=tuple(sources.values()),
        failures=tuple(failures),
        present=frozenset(present),
        scopes=tuple(_uri(folder, request.prefix, "") for folder in folders),
        bare=tuple(folder for folder, files in folders.items() if not files),
    )


def _source(request: Request, file: Found, entry: ManifestEntry | None) -> SourceFile:
    allow = frozenset(entry.allow) if entry is not None and entry.allow else request.acl
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
        return failure(
            "no_acl",
            "who may see it? say --allow, or 'allow' in the manifest; what is stored of it keeps its permissions",
        )
    if not source.path.is_file():
        return failure("not_found", f"no such file: {source.path}")
    return None


def _is_file_name(uri: str) -> bool:
    """Whether the uri may have come from a file's place, and not from a manifest's `uri`."""
    return PurePosixPath(uri).suffix.lower() in SUPPORTED_EXTENSIONS


def _absolute(path: Path) -> Path:
    """The path as given, made absolute: a symlinked folder keeps the name it is called by."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow symlinks


def file_key(path: Path) -> str:
    """A file's name for comparing: the same whichever way its accents are composed."""
    return unicodedata.normalize("NFC", os.path.normpath(path))


def _uri(root: Path, prefix: str | None, relative: str) -> str:
    return unicodedata.normalize("NFC", f"{prefix or root.name}/{relative}")


def _unused(entries: Mapping[str, ManifestEntry], found: Sequence[Found], roots: Sequence[Path]) -> list[Failure]:
    """Entries for files that are not there: silence would leave a misspelt file with the command line's permissions."""
    used = {file_key(file.path) for file in found}
    inside = [key for key in entries.keys() - used if any(Path(key).is_relative_to(file_key(root)) for root in roots)]
    return [
        Failure(uri=entries[key].path, reason="not_found", message="the manifest names it, but it was not found")
        for key in sorted(inside)
    ]


def _listed(folder: Path, key: str, prefix: str | None) -> Found:
    relative = Path(key).relative_to(file_key(folder)).as_posix()
    named = folder / relative
    if not named.exists():
        # On disk its accents may be composed differently.
        named = next((path for path in folder.rglob("*") if file_key(path) == key), named)
    return Found(path=named, uri=_uri(folder, prefix, relative), relative=relative)


def walk(root: Path, prefix: str | None) -> Iterator[Found]:
    """The files below a folder that may be documents, in order. Raises OSError for a folder that cannot be read."""
    if root.is_file():
        name = file_key(Path(root.name))
        yield Found(path=root, uri=_uri(root, prefix, name) if prefix else name, relative=name)
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
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
                continue
            relative = file_key(path.relative_to(root))
            yield Found(path=path, uri=_uri(root, prefix, relative), relative=relative)


def globs(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name matches. Raises `InputError` for what is no glob."""
    try:
        # Not re2, which it would take where that is installed: a file's name need not be text.
        included = GitIgnoreSpec.from_lines(include or ["*"], backend="simple")
        excluded = GitIgnoreSpec.from_lines(exclude, backend="simple")
    except ValueError as error:
        raise InputError(f"not a glob: {error}") from error
    return lambda relative: included.match_file(relative) and not excluded.match_file(relative)


def read_manifest(manifest: Path) -> dict[str, ManifestEntry]:
    """Entries by the file they describe. Raises `InvalidManifest`, naming the entry."""
    found: dict[str, ManifestEntry] = {}
    try:
        text = manifest.read_text(encoding="utf-8-sig")
        for entry in _jsonl(text) if manifest.suffix == ".jsonl" else _yaml(text):
            _check_entry(entry)
            _enter(found, file_key(_absolute(manifest).parent / entry.path), entry)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InvalidManifest(f"{manifest}: {_one_line(error)}") from error
    return found


def _enter(entries: dict[str, ManifestEntry], key: str, entry: ManifestEntry) -> None:
    if key in entries:
        raise ValueError(f"{entry.path}: is listed twice")
    entries[key] = entry


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return " ".join(str(error).split())


def _jsonl(text: str) -> list[ManifestEntry]:
    # Not splitlines(): U+2028 and its like may stand in a JSON string.
    return [_line(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _line(number: int, line: str) -> ManifestEntry:
    try:
        return ManifestEntry.model_validate(json.loads(line))
    except ValueError as error:
        raise ValueError(f"line {number}: {_one_line(error)}") from error


def _yaml(text: str) -> list[ManifestEntry]:
    content: Any = yaml.safe_load(text)
    if not isinstance(content, dict):
        raise ValueError("wants 'documents:' and the list of them")  # noqa: TRY004 - the file's fault, not ours
    return _Manifest.model_validate(content).documents


def _check_entry(entry: ManifestEntry) -> None:
    if Path(entry.path).is_absolute() or os.path.normpath(entry.path).startswith(".."):
        raise ValueError(f"{entry.path}: lies outside the manifest's folder")
    if entry.language is not None and entry.language not in LANGUAGES:
        raise ValueError(f"{entry.path}: language {entry.language!r} is not one of {', '.join(LANGUAGES)}")
    try:
        frozenset(map(principal, entry.allow))
        check_metadata(entry.metadata)
    except (InvalidPrincipal, ValueError) as error:
        raise ValueError(f"{entry.path}: {error}") from error


def check_metadata(metadata: Metadata) -> None:
    """Raises ValueError for what Postgres cannot keep."""
    for text in (part for pair in metadata.items() for part in pair if isinstance(part, str)):
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(f"metadata {text!r}: holds characters that are not text")
