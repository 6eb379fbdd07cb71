"""Documents as they are handed in, and what may be said of them."""

import json
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import Principal, Wire, without_nul
from ingest.languages import LANGUAGES
from ingest.sources import Finite, check_metadata
from retrieval.access import principal
from retrieval.errors import InvalidPrincipal

MOST_DOCUMENTS = 1000
_MOST_METADATA_BYTES = 32_000
_MOST_FILE_NAME_BYTES = 200  # what every file system takes, with room
MetadataIn = dict[str, str | int | bool | Finite]


def _is_principal(text: str) -> str:
    try:
        return principal(text)
    except InvalidPrincipal as error:
        raise PydanticCustomError("invalid_principal", "want 'everyone' or 'kind:name', like 'group:eng'") from error


def _is_metadata(metadata: MetadataIn) -> MetadataIn:
    if len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "surrogatepass")) > _MOST_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "may take 32000 bytes of JSON")
    try:
        check_metadata(metadata)
    except ValueError as error:
        raise PydanticCustomError("not_text", "holds characters that are not text") from error
    return metadata


def _is_file_name(name: str) -> str:
    if name in {".", ".."} or any(character in "/\\" or ord(character) < 32 for character in name):
        raise PydanticCustomError("not_a_file_name", "must be a file's name, without folders")
    if len(name.encode()) > _MOST_FILE_NAME_BYTES:
        raise PydanticCustomError("not_a_file_name", "may take 200 bytes")
    return name


def _is_language(language: str) -> str:
    if language not in LANGUAGES:
        raise PydanticCustomError("unknown_language", "must be one of {known}", {"known": ", ".join(LANGUAGES)})
    return language


Uri = Annotated[str, StringConstraints(min_length=1, max_length=600), AfterValidator(without_nul)]
Allow = Annotated[
    list[Annotated[Principal, AfterValidator(_is_principal)]],
    Field(
        min_length=1,
        max_length=500,
        description="Who may see it: `user:ada`, `group:eng`; `everyone`: the whole tenant. Never left out: nothing is"
        " public by omission",
        examples=[["group:eng", "user:ada"]],
    ),
]
MetadataInput = Annotated[
    MetadataIn,
    AfterValidator(_is_metadata),
    Field(description="Its own fields, to filter by: texts, numbers and truth values", examples=[{"year": 2026}]),
]
FileName = Annotated[str, StringConstraints(min_length=1), AfterValidator(_is_file_name)]


class DocumentDescription(Wire):
    """What is said of a document, beside its content."""

    uri: Uri = Field(description="Identifies it: another document with this uri is replaced", examples=["wiki/pump"])
    allow: Allow
    content_type: str | None = Field(
        None, min_length=1, max_length=255, description="How to read it; left out, its file name's extension says so"
    )
    file_name: FileName | None = Field(None, description="Without folders", examples=["pump.md"])
    title: Annotated[str, AfterValidator(without_nul)] | None = Field(
        None, min_length=1, max_length=1000, description="Left out: found in the document"
    )
    language: Annotated[str, AfterValidator(_is_language)] | None = Field(
        None, description=f"{', '.join(LANGUAGES)}; left out: found in the text"
    )
    metadata: MetadataInput = Field(default_factory=dict)


class DocumentIn(DocumentDescription):
    """A document: its text, or its bytes in base64, or where to fetch it from."""

    model_config = ConfigDict(val_json_bytes="base64")  # a third of the time that Python takes over a large file

    text: str | None = Field(None, min_length=1, description="Its text; plain, unless a type or file name says more")
    content_base64: Annotated[
        Annotated[bytes, Field(min_length=1), WithJsonSchema({"type": "string", "contentEncoding": "base64"})] | None,
        Field(description="A file's bytes"),
    ] = None
    url: str | None = Field(
        None, min_length=1, max_length=2000, description="Where a worker fetches it from: public addresses alone"
    )

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        given = [name for name in ("text", "content_base64", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError("one_content", "wants one of text, content_base64 and url")
        return self


class BatchIn(Wire):
    """Documents that are handed in together, as one job."""

    documents: list[DocumentIn] = Field(min_length=1, max_length=MOST_DOCUMENTS)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        named = _first_repeated([document.uri for document in self.documents])
        if named is not None:
            raise PydanticCustomError(
                "duplicate_uri", "documents.{at}: the uri {uri} is there twice", {"at": named[0], "uri": named[1][:100]}
            )
        return self


class DocumentChange(Wire):
    """What is to be otherwise; what is left out stays."""

    allow: Allow | None = None
    metadata: MetadataInput | None = Field(None, description="Replaces all of it")

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: object) -> object:
        if isinstance(given, dict) and (not given or None in given.values()):
            raise PydanticCustomError("nothing_said", "wants allow, metadata or both, and neither null")
        return given


def _first_repeated(uris: Sequence[str]) -> tuple[int, str] | None:
    seen = set[str]()
    for at, uri in enumerate(uris):
        if uri in seen:
            return at, uri
        seen.add(uri)
    return None
