"""What the OpenAPI document says beyond what FastAPI derives: error responses and the events of a stream."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.schemas.answers import CitationEvent, FinishedEvent, PassagesEvent, StepEvent, TextEvent
from api.schemas.base import ErrorBody

EVENTS: dict[str, type[BaseModel]] = {
    "passages": PassagesEvent,
    "step": StepEvent,
    "text": TextEvent,
    "citation": CitationEvent,
    "finished": FinishedEvent,
    "error": ErrorBody,
}
_REF = "#/components/schemas/{model}"

EVENT_STREAM: dict[str, Any] = {
    # OpenAPI 3.2's words for an event stream; 3.1 readers skip what they do not know.
    "itemSchema": {
        "oneOf": [
            {
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
            for name, model in EVENTS.items()
        ]
    },
    "example": 'event: text\ndata: {"text":"Twenty-eight days [1]."}\nid: 0f8e1c7ab2d94e06a3c55d2f9b7e4a18.2\n\n',
}

_PROBLEMS = {
    401: "No API key, or one we do not know",
    403: "The key lacks a scope",
    404: "There is no such thing, or the caller may not see it",
    409: "The key was used for another question",
    410: "A document that the kept answer shows was changed or taken away",
    413: "The request body is too large",
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
            schema["components"]["schemas"] = _event_schemas() | schema["components"]["schemas"]
            app.openapi_schema = schema
        return app.openapi_schema

    return described


def _event_schemas() -> dict[str, Any]:
    _, schemas = models_json_schema([(model, "serialization") for model in EVENTS.values()], ref_template=_REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
