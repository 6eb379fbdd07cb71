"""The one border where errors become HTTP: one table from class to status, one body for all of them."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.schemas.base import ErrorBody, ErrorDetail
from retrieval.errors import (
    AccessDenied,
    AnswerInterrupted,
    AnswerWithdrawn,
    BudgetExhausted,
    Conflict,
    DependencyError,
    DocumentTooLarge,
    EmbedderUnavailable,
    FetchTooLarge,
    GenerationChanged,
    IdempotencyKeyReused,
    IndexMismatch,
    InputError,
    InvalidDataset,
    InvalidFilter,
    InvalidManifest,
    InvalidPrincipal,
    InvalidQuestion,
    InvalidResponseFormat,
    InvalidSettings,
    InvalidSources,
    InvalidStructuredAnswer,
    InvalidTenant,
    LimitExceeded,
    LlmInterrupted,
    LlmUnavailable,
    NotFound,
    Overloaded,
    ParserUnavailable,
    PinciteError,
    PreconditionFailed,
    QueueFull,
    RateLimited,
    RerankerUnavailable,
    SourceUnavailable,
    StoreUnavailable,
    StoreUnsupported,
    TenantLeaving,
    Unauthenticated,
    UnreadableDocument,
    UnsupportedFormat,
    UrlRefused,
    UrlUnreachable,
)

STATUS: Mapping[type[PinciteError], int] = {
    PinciteError: 500,
    InputError: 422,
    InvalidPrincipal: 422,
    InvalidTenant: 422,
    InvalidQuestion: 422,
    InvalidFilter: 422,
    InvalidResponseFormat: 422,
    InvalidManifest: 422,
    InvalidSources: 422,
    InvalidDataset: 422,
    InvalidSettings: 500,  # the operator's mistake, not the caller's
    UrlRefused: 422,
    FetchTooLarge: 422,
    UnreadableDocument: 422,
    UnsupportedFormat: 415,
    DocumentTooLarge: 413,
    AccessDenied: 403,
    Unauthenticated: 401,
    TenantLeaving: 403,
    NotFound: 404,
    Conflict: 409,
    IdempotencyKeyReused: 409,
    PreconditionFailed: 412,
    AnswerWithdrawn: 410,
    LimitExceeded: 429,
    BudgetExhausted: 429,
    RateLimited: 429,
    QueueFull: 429,
    IndexMismatch: 503,
    DependencyError: 503,
    Overloaded: 503,
    SourceUnavailable: 503,
    StoreUnavailable: 503,
    StoreUnsupported: 503,
    GenerationChanged: 503,
    EmbedderUnavailable: 503,
    AnswerInterrupted: 503,
    ParserUnavailable: 503,
    RerankerUnavailable: 503,
    LlmUnavailable: 503,
    LlmInterrupted: 502,
    InvalidStructuredAnswer: 502,
    UrlUnreachable: 502,
}
_STATUS_OF_CODE: Mapping[str, int] = {error.code: status for error, status in STATUS.items()}

# What the framework itself refuses: (status, code, message).
_FRAMEWORK: Mapping[int, tuple[int, str, str]] = {
    # FastAPI says 400 only for a body it could not decode; malformed JSON, its sibling, is a 422.
    400: (422, "invalid_request", "the body is not valid JSON in UTF-8"),
    404: (404, "not_found", "there is nothing at this address"),
    405: (405, "method_not_allowed", "this address does not take that method"),
    413: (413, "body_too_large", "the request body is too large"),
    415: (415, "unsupported_media_type", "send application/json or multipart/form-data, not compressed"),
}
INTERNAL_ERROR = "internal_error"
INTERNAL_MESSAGE = "something went wrong on our side; the request id finds it in the server's log"
RETRY_AFTER_SECONDS = 5
_LONGEST_MESSAGE = 500
_LONGEST_FIELD = 60
_MOST_FIELDS = 5

logger = logging.getLogger("pincite.api")


def status_of(error: type[PinciteError]) -> int:
    """The status of an error class: its own, else its nearest ancestor's."""
    return next(STATUS[ancestor] for ancestor in error.__mro__ if ancestor in STATUS)


def status_of_code(code: str) -> int:
    """The status of an error of which only the code is left; 500 for a code that no error has."""
    return _STATUS_OF_CODE.get(code, 500)


def error_body(code: str, message: str, request_id: str, reset_at: datetime | None = None) -> ErrorBody:
    """The body every error has, on the wire and in a stream. Long messages are cut, undecodable characters replaced."""
    printable = message.encode("utf-8", "replace").decode("utf-8")
    shown = printable if len(printable) <= _LONGEST_MESSAGE else printable[:_LONGEST_MESSAGE] + "…"
    return ErrorBody(error=ErrorDetail(code=code, message=shown, request_id=request_id, reset_at=reset_at))


def describe(error: Exception, request_id: str) -> ErrorBody:
    """The body of an error caught mid-stream. What we did not expect is logged, and told to nobody else."""
    if isinstance(error, PinciteError):
        return error_body(error.code, str(error), request_id, _reset_at(error))
    logger.error("request %s failed", request_id, exc_info=error)
    return error_body(INTERNAL_ERROR, INTERNAL_MESSAGE, request_id)


def error_response(
    request_id: str,
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    reset_at: datetime | None = None,
) -> JSONResponse:
    """An error as a response, with the headers its status asks for."""
    all_headers = dict(headers or {})
    if status == 401:
        all_headers["WWW-Authenticate"] = 'Bearer realm="pincite"'
    if status == 503:
        all_headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if reset_at is not None:
        all_headers["Retry-After"] = str(max(1, ceil((reset_at - datetime.now(UTC)).total_seconds())))
    body = error_body(code, message, request_id, reset_at)
    return JSONResponse(body.model_dump(mode="json"), status_code=status, headers=all_headers)


def install(app: FastAPI) -> None:
    """Makes `app` answer every error with the one body. Unexpected ones are caught further out, by `Envelope`."""
    app.add_exception_handler(PinciteError, _on_pincite_error)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(ClientDisconnect, _on_client_gone)


async def _on_pincite_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PinciteError)  # starlette types handlers by Exception
    status, reset_at = status_of(type(error)), _reset_at(error)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, RateLimited) else None
    return error_response(request.state.request_id, status, error.code, str(error), headers, reset_at=reset_at)


async def _on_framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    fallback = (error.status_code, f"http_{error.status_code}", "the request was refused")
    status, code, message = _FRAMEWORK.get(error.status_code, fallback)
    return error_response(request.state.request_id, status, code, message, error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()[:_MOST_FIELDS]
    if problems and problems[0]["type"] == "json_invalid":
        return error_response(request.state.request_id, *_FRAMEWORK[400])
    complaints = "; ".join(_complaint(problem["loc"], problem["msg"]) for problem in problems)
    return error_response(request.state.request_id, 422, "invalid_request", complaints)


async def _on_client_gone(request: Request, _error: Exception) -> Response:
    return error_response(request.state.request_id, 499, "client_closed_request", "the client hung up")


def _reset_at(error: PinciteError) -> datetime | None:
    return error.reset_at if isinstance(error, BudgetExhausted) else None


def _complaint(location: tuple[str | int, ...], message: str) -> str:
    where = ".".join(str(part)[:_LONGEST_FIELD] for part in location[1:]) or str(location[0])
    return f"{where}: {message}"
