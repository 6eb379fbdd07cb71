"""Which sources there are: a YAML file, validated."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from croniter import croniter
from pathspec import GitIgnoreSpec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ingest.languages import LANGUAGES
from ingest.sources import Finite, check_metadata
from retrieval.access import principal, tenant_id
from retrieval.errors import InvalidPrincipal, InvalidSources, InvalidTenant, NotFound

_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _glob(text: str) -> str:
    # To gitignore, a line that starts so matches nothing: a rule that never holds would open what it was to close.
    if not text.strip() or text[0] in "!#":
        raise PydanticCustomError("not_a_glob", "is not a glob that can match")
    try:
        GitIgnoreSpec.from_lines([text], backend="simple")
    except ValueError as error:
        raise PydanticCustomError("not_a_glob", "is not a glob") from error
    return text


def _principal(text: str) -> str:
    try:
        return principal(text)
    except InvalidPrincipal as error:
        raise PydanticCustomError("not_a_principal", "{reason}", {"reason": str(error)}) from error


def _tenant(text: str) -> str:
    try:
        return tenant_id(text)
    except InvalidTenant as error:
        raise PydanticCustomError("not_a_tenant", "{reason}", {"reason": str(error)}) from error


def _schedule(text: str) -> str:
    if not croniter.is_valid(text):
        raise PydanticCustomError("not_a_schedule", "is not a cron expression, such as '*/15 * * * *'")
    return text


def _language(text: str) -> str:
    if text not in LANGUAGES:
        raise PydanticCustomError("no_language", "is not one of {known}", {"known": ", ".join(LANGUAGES)})
    return text


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        check_metadata(metadata)
    except ValueError as error:
        raise PydanticCustomError("not_metadata", "{reason}", {"reason": str(error)}) from error
    return metadata


Glob = Annotated[str, AfterValidator(_glob)]
Principal = Annotated[str, AfterValidator(_principal)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Rule(_Model):
    """Who may see what matches."""

    match: Glob
    allow: tuple[Principal, ...] = Field(min_length=1)


class _Declared(_Model):
    """What every source says. The first rule that matches gives the permissions, `allow` where none does."""

    name: str = Field(pattern=_NAME)
    tenant: Annotated[str, AfterValidator(_tenant)]
    include: tuple[Glob, ...] = ()
    exclude: tuple[Glob, ...] = ()
    allow: tuple[Principal, ...] = ()
    rules: tuple[Rule, ...] = ()
    metadata: Annotated[dict[str, str | int | bool | Finite], AfterValidator(_metadata)] = Field(default_factory=dict)
    language: Annotated[str, AfterValidator(_language)] | None = None
    schedule: Annotated[str, AfterValidator(_schedule)] | None = None


class _Prefixed(_Declared):
    prefix: str | None = Field(
        None, min_length=1, max_length=200, pattern=r"^[^/\x00-\x1f]([^\x00-\x1f]*[^/\x00-\x1f])?$"
    )

    def uri(self, path: str) -> str:
        """A document's uri: the prefix, or else the source's name, and the document's place."""
        return f"{self.prefix or self.name}/{path}"


class FolderSource(_Prefixed):
    """A folder on this machine; a manifest beside it may say more of single files."""

    kind: Literal["folder"]
    path: Path
    manifest: Path | None = None


class BucketSource(_Prefixed):
    """A bucket of an S3-compatible store. Keys come from `{credentials}_ACCESS_KEY_ID` and `_SECRET_ACCESS_KEY` in
    the environment, or as the AWS tools find them."""

    kind: Literal["s3"]
    bucket: str = Field(min_length=3, max_length=63)
    folder: str = ""
    endpoint: str | None = Field(None, pattern=r"^https?://[^@\s]+$")
    region: str = "us-east-1"
    credentials: str | None = Field(None, pattern=_VARIABLE)
    anonymous: bool = False


class GitSource(_Prefixed):
    """A branch or tag of a repository. `token` names the environment variable with a token for https."""

    kind: Literal["git"]
    url: str
    ref: str = Field("HEAD", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    token: str | None = Field(None, pattern=_VARIABLE)
    max_bytes: int = Field(2 * 1024**3, ge=1)

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if not re.match(r"(https?|ssh|file)://[^-\s]|/|[\w.]+@[\w.-]+:", self.url):
            raise PydanticCustomError("not_a_repository", "url: want https://, ssh://, file://, user@host: or a path")
        if re.match(r"\w+://[^/@]*:[^/@]*@", self.url):
            raise PydanticCustomError("password", "url: holds a password; name a variable that has it as 'token'")
        return self


class WebsiteSource(_Declared):
    """A website below its url, by sitemap and links. Its documents' uris are their urls."""

    kind: Literal["website"]
    url: str = Field(pattern=r"^https?://[^@\s]+$")
    sitemaps: tuple[str, ...] = ()
    max_depth: int = Field(5, ge=0)
    max_pages: int = Field(2000, ge=1)
    max_bytes: int = Field(1024**3, ge=1)
    delay: float = Field(0.5, ge=0, le=60, allow_inf_nan=False)
    allow_private: bool = False


Declared = FolderSource | BucketSource | GitSource | WebsiteSource


class _Sources(_Model):
    sources: tuple[Annotated[Declared, Field(discriminator="kind")], ...] = Field(min_length=1)


def read_sources(file: Path) -> tuple[Declared, ...]:
    """The sources in a YAML file; relative paths start at it. Raises `InvalidSources`, naming the field."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        found = _Sources.model_validate(content).sources
    except ValidationError as error:
        raise InvalidSources(f"{file}: {_place(error)}") from error
    except OSError as error:
        raise InvalidSources(f"{file}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise InvalidSources(f"{file}: {' '.join(str(error).split())}") from error
    names = [(source.tenant, source.name) for source in found]
    for twice in {name for name in names if names.count(name) > 1}:
        raise InvalidSources(f"{file}: the source {twice[1]} of {twice[0]} is declared twice")
    return tuple(_placed(source, file.absolute().parent) for source in found)


def named(sources: Sequence[Declared], names: Sequence[str]) -> list[Declared]:
    """Those of these names, all where none is given. Raises `NotFound` for a name that no source has."""
    if unknown := set(names) - {source.name for source in sources}:
        raise NotFound(f"no source is called {min(unknown)!r}")
    return [source for source in sources if not names or source.name in names]


def _placed(source: Declared, folder: Path) -> Declared:
    if not isinstance(source, FolderSource):
        return source
    manifest = folder / source.manifest if source.manifest else None
    return source.model_copy(update={"path": folder / source.path, "manifest": manifest})


def _place(error: ValidationError) -> str:
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
