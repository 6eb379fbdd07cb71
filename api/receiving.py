"""Bodies that may be large: on their way they lie on disk; in memory are only those that are being worked on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from api.schemas.submissions import BatchIn, DocumentDescription, DocumentIn, FileName
from ingest.parsing import content_type_of, extension_of
from ingest.queueing.records import Submission
from retrieval.errors import DocumentTooLarge, UnsupportedFormat, UrlRefused
from retrieval.settings import Settings
from retrieval.upstream.destinations import Destinations

Model = TypeVar("Model", bound=BaseModel)

_IN_MEMORY = 1024 * 1024
_FIELD_BYTES = 1024 * 1024
_AROUND = 1024 * 1024
_MANY_NAMES = 4 * 1024 * 1024
_LOOKING_UP = 5.0
"""Seconds for the hosts of all URLs in a body: a name server that is slow, or hostile, holds a thread no longer."""
_FILE_NAME: TypeAdapter[str] = TypeAdapter(FileName)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBody:
    """A JSON body, on disk."""

    file: BinaryIO
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormBody:
    """A file, on disk, and what is said of it as JSON."""

    file: BinaryIO
    size: int
    file_name: str | None
    content_type: str | None
    document: str


def larger_bodies(settings: Settings) -> Mapping[str, int]:
    """The largest bodies of the addresses that take documents: the largest file in base64, and what is said of it."""
    documents = -(-settings.ingest.max_file_bytes // 3) * 4 + _AROUND
    return {"/v1/documents": documents, "/v1/documents/batch": documents, "/v1/documents/delete": _MANY_NAMES}


class _WholeForm(MultiPartParser):
    """Takes a form only with its end: the parser itself would take what came of one that was cut off."""

    def __init__(self, request: Request) -> None:
        super().__init__(
            request.headers, self._whole(request.stream()), max_files=1, max_fields=1, max_part_size=_FIELD_BYTES
        )
        self._has_end = False

    def on_end(self) -> None:
        self._has_end = True

    async def _whole(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for piece in stream:
            yield piece
        if not self._has_end:
            raise MultiPartException("it is cut off")


@asynccontextmanager
async def received_json(request: Request) -> AsyncIterator[JsonBody]:
    """The body, whole. Raises HTTPException 415 for what is no JSON."""
    if _media_type(request) != "application/json":
        raise HTTPException(415)
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        file = cast("BinaryIO", spool)
        upload = UploadFile(file, size=0)  # which writes in a thread what does not stay in memory
        async for piece in request.stream():
            await upload.write(piece)
        await upload.seek(0)
        yield JsonBody(file=file, size=upload.size or 0)


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[JsonBody | FormBody]:
    """The body, whole. Raises HTTPException 415 for what is neither JSON nor a form, RequestValidationError for a form
    that is broken or lacks a part."""
    if _media_type(request) != "multipart/form-data":
        async with received_json(request) as body:
            yield body
        return
    try:
        form = await _WholeForm(request).parse()
    except MultiPartException as error:
        raise _invalid("multipart", f"the form cannot be read: {error.message}") from error
    try:
        yield _form_body(form)
    finally:
        await form.close()


def submission_of(body: JsonBody | FormBody, settings: Settings) -> Submission:
    """The document in the body. Blocks. Raises RequestValidationError, `UnsupportedFormat`, `DocumentTooLarge` and
    `UrlRefused`."""
    if isinstance(body, JsonBody):
        document = _read(DocumentIn, body.file.read())
        for _, refusal in _refusals([document], settings):
            raise refusal
        return _submission(document, settings)
    said = _read(DocumentDescription, body.document, "document")
    body.file.seek(0)
    named = said.file_name or _named(body.file_name)
    file_name = _readable_name(named, said.content_type, body.content_type, said.uri)
    return _handed_in(said, file_name, body.file.read(settings.ingest.max_file_bytes + 1), settings)


def submissions_of(body: JsonBody, settings: Settings) -> list[Submission]:
    """The documents in the body. Blocks. Raises as `submission_of()`, naming the document."""
    batch = _read(BatchIn, body.file.read())
    submissions = []
    for at, document in enumerate(batch.documents):
        with _of_document(at):
            submissions.append(_submission(document, settings))
    for at, refusal in _refusals(batch.documents, settings):
        with _of_document(at):
            raise refusal
    return submissions


def _refusals(documents: Sequence[DocumentIn], settings: Settings) -> list[tuple[int, UrlRefused]]:
    """Which documents' URLs are refused as things stand now: the worker judges again what it connects to."""
    urls = {at: document.url for at, document in enumerate(documents) if document.url is not None}
    if not urls:
        return []
    found = asyncio.run(Destinations(settings.outbound).refusals(list(urls.values()), _LOOKING_UP))
    return [(at, refusal) for at, refusal in zip(urls, found, strict=True) if refusal is not None]


def _submission(document: DocumentIn, settings: Settings) -> Submission:
    if document.url is not None:
        named = document.file_name or document.content_type
        file_name = _readable_name(document.file_name, document.content_type, None, document.uri) if named else ""
        return replace(_handed_in(document, file_name, b"", settings), url=document.url)
    if document.text is not None:
        file_name = _readable_name(document.file_name, document.content_type, "text/plain", document.uri)
        return _handed_in(document, file_name, document.text.encode(), settings)
    assert document.content_base64 is not None
    file_name = _readable_name(document.file_name, document.content_type, None, document.uri)
    return _handed_in(document, file_name, document.content_base64, settings)


def _handed_in(said: DocumentDescription, file_name: str, content: bytes, settings: Settings) -> Submission:
    if len(content) > settings.ingest.max_file_bytes:
        raise DocumentTooLarge(f"a document may take {settings.ingest.max_file_bytes} bytes")
    return Submission(
        uri=said.uri,
        file_name=file_name,
        content=content,
        url=None,
        title=said.title,
        language=said.language,
        acl=frozenset(said.allow),
        metadata=said.metadata,
    )


def _readable_name(name: str | None, said: str | None, otherwise: str | None, uri: str) -> str:
    """A name whose extension says how to read it: by the type that was said, else by the name, else by `otherwise`.
    Where there is no name, the last part of the uri is: a document without a title is called by it."""
    if said is None and name is not None and content_type_of(name) is not None:
        return name
    content_type = said or (otherwise if name is None or not PurePosixPath(name).suffix else None)
    extension = None if content_type is None else extension_of(content_type)
    if extension is None:
        raise UnsupportedFormat(f"cannot read {(content_type or name or 'this without a type or file name')[:100]}")
    if name is not None and content_type_of(name) == content_type_of(f"a{extension}"):
        return name
    stem = PurePosixPath(uri).name or "document" if name is None else PurePosixPath(name).stem
    return f"{stem}{extension}"


def _named(name: str | None) -> str | None:
    """The file's own name in its form."""
    if not name:
        return None
    try:
        return _FILE_NAME.validate_python(name)
    except ValidationError as error:
        raise _invalid("file_name", error.errors()[0]["msg"], "file") from error


def _form_body(form: FormData) -> FormBody:
    file, document = form.get("file"), form.get("document")
    if not isinstance(file, UploadFile):
        raise _invalid("missing", "the form wants a file, whole to its end", "file")
    if not isinstance(document, str):
        raise _invalid("missing", "the form wants what is said of the file, as JSON", "document")
    return FormBody(
        file=file.file,
        size=file.size or 0,
        file_name=file.filename,
        content_type=file.content_type,
        document=document,
    )


def _media_type(request: Request) -> str:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415)
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _read(model: type[Model], given: bytes | str, *place: str) -> Model:
    try:
        return model.model_validate_json(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**problem, "loc": ("body", *place, *problem["loc"])} for problem in problems]
        ) from None


@contextmanager
def _of_document(at: int) -> Iterator[None]:
    """Says which document of a batch is refused."""
    try:
        yield
    except (UnsupportedFormat, DocumentTooLarge, UrlRefused) as error:
        raise type(error)(f"documents.{at}: {error}") from error


def _invalid(kind: str, message: str, *place: str) -> RequestValidationError:
    problem: dict[str, Any] = {"type": kind, "loc": ("body", *place), "msg": message}
    return RequestValidationError([problem])
