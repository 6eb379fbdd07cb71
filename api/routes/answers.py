"""Asking a question and getting a cited answer, as a stream or as one body."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from api.authentication import HeaderPrincipals, OpenedEngine, QueryingKey, caller_of
from api.errors import error_response, status_of_code
from api.keeping import kept_of
from api.limiting import limited
from api.openapi import EVENT_STREAM, problems
from api.resuming import IdempotencyKey, LastEvent
from api.schemas.answers import AnswerResponse, FinishedEvent, PassagesEvent, StepEvent
from api.schemas.base import ErrorBody
from api.schemas.questions import AnswerRequest
from api.streams import AnswerStream, NothingLeft, running, server_sent, while_connected
from api.wire import LAST
from retrieval.answering import answer
from retrieval.domain import AnswerEvent, Origin, Question
from retrieval.engine import Engine
from retrieval.errors import NotFound
from retrieval.keeping.identity import Owner

AnswerPath = Callable[[Engine, Question], AsyncGenerator[AnswerEvent, None]]

router = APIRouter(tags=["questions"])

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The events that are left", "content": {"text/event-stream": EVENT_STREAM}},
    204: {"description": "The answer has ended, and its last event was received"},
}
_SUCCESS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, or with `stream: false` one body. After the first byte failures are `error` events.",
        "model": AnswerResponse,
        "content": {"text/event-stream": EVENT_STREAM},
    }
}


def answer_path() -> AnswerPath:
    """The query path that answers: where a script can stand in for it, through `dependency_overrides`."""
    return answer


async def _asked(asked: AnswerRequest) -> AnswerRequest:
    return asked  # read and validated once for all who depend on it


Asked = Annotated[AnswerRequest, Depends(_asked)]


async def _answer_stream(
    request: Request,
    asked: Asked,
    key: QueryingKey,
    engine: OpenedEngine,
    path: Annotated[AnswerPath, Depends(answer_path)],
    last_event: LastEvent,
    idempotency_key: IdempotencyKey = None,
) -> AsyncIterator[AnswerStream]:
    # A dependency, because its end comes after the last byte, or as soon as the client is gone.
    caller = await limited(request, key, caller_of(key, asked.principals))
    question = replace(asked.by(caller), origin=Origin(request_id=request.state.request_id, key_id=key.key_id))
    begin = partial(path, engine, question)
    owner, kept, request_id = Owner(key_id=key.key_id, caller=caller), kept_of(request), request.state.request_id
    if last_event is not None:
        after = last_event.number if _wants_stream(request, asked) else 0
        opening = kept.resumed(owner, last_event.answer_id, after, asked.digest)
    elif idempotency_key is not None:
        opening = kept.answer(owner, idempotency_key, asked.digest, begin, request_id)
    else:
        opening = running(begin(), request_id)
    async with opening as stream:
        yield stream


@router.post(
    "/v1/answers",
    response_class=Response,
    responses={**_SUCCESS, **problems(401, 403, 404, 409, 410, 413, 422, 429, 502, 503)},
)
async def answer_question(
    request: Request, asked: Asked, stream: Annotated[AnswerStream, Depends(_answer_stream)]
) -> Response:
    """Answers a question from the documents the caller may see, with citations verified against their text.

    A stream is `passages`, with `tools` a `step` for each that the model calls, then `text` and `citation` as they
    come, then `finished`, or `error` if it broke. With an `Idempotency-Key` the answer is kept: asked for again it is
    the same, also while it is being written, and a stream that broke goes on after the `Last-Event-ID`. It is written
    on for a while when nobody reads it; without the key it ends with its connection.
    """
    if _wants_stream(request, asked):
        return await _streamed(request, stream)
    return await while_connected(request, _whole(stream, request.state.request_id))


async def _kept_stream(
    request: Request,
    answer_id: UUID,
    key: QueryingKey,
    last_event: LastEvent,
    principals: HeaderPrincipals = None,
) -> AsyncIterator[AnswerStream]:
    if last_event is not None and last_event.answer_id != answer_id:
        raise NotFound("that event is not one of this answer's")
    owner = Owner(key_id=key.key_id, caller=await limited(request, key, caller_of(key, principals)))
    async with kept_of(request).resumed(owner, answer_id, last_event.number if last_event else 0) as stream:
        yield stream


@router.get(
    "/v1/answers/{answer_id}/events",
    response_class=Response,
    responses={**_EVENTS, **problems(401, 403, 404, 410, 422, 429, 503)},
)
async def answer_events(request: Request, stream: Annotated[AnswerStream, Depends(_kept_stream)]) -> Response:
    """The events of an answer that was asked for with an `Idempotency-Key`, after the `Last-Event-ID`.

    For the same API key, asking as the same principals, and only while every document it shows stands as it did.
    """
    return await _streamed(request, stream)


def _wants_stream(request: Request, asked: AnswerRequest) -> bool:
    accept = request.headers.get("accept", "")
    return asked.stream and ("application/json" not in accept or "text/event-stream" in accept)


async def _streamed(request: Request, stream: AnswerStream) -> Response:
    # Nothing has been sent yet: what goes wrong up to here is a clean status, not a broken stream.
    try:
        first = await while_connected(request, stream.next())
    except NothingLeft:
        return Response(status_code=204)  # which is how a browser's EventSource is told to stay away
    events = server_sent(
        stream,
        first,
        request_id=request.state.request_id,
        heartbeat=request.app.state.settings.api.heartbeat,
        stopping=request.app.state.stopping,
    )
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no", **_named(stream)})


async def _whole(stream: AnswerStream, request_id: str) -> Response:
    events = [await stream.next()]
    while events[-1].name not in LAST:
        events.append(await stream.next())
    last = events[-1].data
    if events[-1].name == "error":
        error = ErrorBody.model_validate_json(last).error
        return error_response(
            request_id, status_of_code(error.code), error.code, error.message, reset_at=error.reset_at
        )
    steps = [StepEvent.model_validate_json(event.data) for event in events if event.name == "step"]
    passages, finished = PassagesEvent.model_validate_json(events[0].data), FinishedEvent.model_validate_json(last)
    whole = AnswerResponse.joined(passages, steps, finished)
    return JSONResponse(whole.model_dump(mode="json"), headers=_named(stream))


def _named(stream: AnswerStream) -> dict[str, str]:
    return {"X-Answer-ID": stream.answer_id.hex}
