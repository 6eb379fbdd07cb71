"""What the OpenAPI document says beyond what FastAPI derives: error responses and the events of a stream."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.schemas.answers import CitationEvent, FinishedEvent, PassagesEvent, StepEvent, TextEvent
from api.schemas.base import ErrorBody
from api.schemas.jobs import JobOut
from api.schemas.submissions import BatchIn, DocumentDescription, DocumentIn

EVENTS: dict[str, type[BaseModel]] = {
    "passages": PassagesEvent,
    "step": StepEvent,
    "text": TextEvent,
    "citation": CitationEvent,
    "finished": FinishedEvent,
    "error": ErrorBody,
}
JOB_EVENTS: dict[str, type[BaseModel]] = {"progress": JobOut, "finished": JobOut, "error": ErrorBody}
_RAW: tuple[type[BaseModel], ...] = (BatchIn, DocumentIn, DocumentDescription)
_REF = "#/components/schemas/{model}"


def _stream(events: Mapping[str, type[BaseModel]], example: str) -> dict[str, Any]:
    """A stream of events, in OpenAPI 3.2's words: 3.1 readers skip what they do not know."""
    return {"itemSchema": {"oneOf": [_event(name, model) for name, model in events.items()]}, "example": example}


def _event(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "What to send as `Last-Event-ID`"},
            "event": {"const": name},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": _REF.format(model=model.__name__)},
            },
        },
    }


EVENT_STREAM = _stream(
    EVENTS,
    'event: text\ndata: {"text":"Twenty-eight days [1]."}\nid: 0f8e1c7ab2d94e06a3c55d2f9b7e4a18.2\n\n',
)
JOB_STREAM = _stream(
    JOB_EVENTS,
    'event: progress\ndata: {"state":"running","total":40,"waiting":12}\nid: 0f8e1c7ab2d94e06a3c55d2f9b7e4a18.2\n\n',
)


def raw_body(body: type[BaseModel], form: type[BaseModel] | None = None) -> dict[str, Any]:
    """The documented body of a route that reads it itself: JSON, or a form of a file and what is said of it."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": _REF.format(model=body.__name__)}}}
    if form is not None:
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": ["file", "document"],
                "properties": {
                    "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                    "document": {"$ref": _REF.format(model=form.__name__)},
                },
            },
            "encoding": {"document": {"contentType": "application/json"}},
        }
    return {"requestBody": {"required": True, "content": content}}


_PROBLEMS = {
    401: "No API key, or one we do not know",
    403: "The key lacks a scope",
    404: "There is no such thing, or the caller may not see it",
    409: "The key was used for something else",
    410: "A document that the kept answer shows was changed or taken away",
    412: "The document is not in the state that `If-Match` names",
    413: "The request body is too large",
    415: "The body, or the document in it, is of a kind that cannot be read",
    422: "The request is not valid; the message names the fields",
    429: "Too much was asked or spent; `Retry-After` and `reset_at` say when to try again",
    502: "The model broke off in the middle of the answer",
    503: "Something we lean on is not available; `Retry-After` says when to try again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented error responses of a route."""
    return {status: {"description": _PROBLEMS[status], "model": ErrorBody} for status in statuses}


def describer(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A function that describes `app`, the events' schemas included; computed once."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schema["components"]["schemas"] = _own_schemas() | schema["components"]["schemas"]
            app.openapi_schema = schema
        return app.openapi_schema

    return described


def _own_schemas() -> dict[str, Any]:
    _, schemas = models_json_schema([(model, "serialization") for model in EVENTS.values()], ref_template=_REF)
    _, bodies = models_json_schema([(model, "validation") for model in _RAW], ref_template=_REF)
    definitions: dict[str, Any] = schemas["$defs"] | bodies["$defs"]
    return definitions
