"""Asking a question and getting a cited answer, as a stream or as one body."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from api.authentication import OpenedEngine, QueryingKey, caller_of
from api.errors import error_response, status_of_code
from api.openapi import EVENT_STREAM, problems
from api.schemas.answers import AnswerResponse, PassagesEvent
from api.schemas.questions import AnswerRequest
from api.streams import RunningAnswer, running, server_sent, while_connected
from retrieval.answering import answer
from retrieval.domain import AnswerEvent, AnswerFailed, AnswerFinished, Origin, PassagesFound, Question, StepTaken
from retrieval.engine import Engine

AnswerPath = Callable[[Engine, Question], AsyncGenerator[AnswerEvent, None]]

router = APIRouter(tags=["questions"])

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


async def _running_answer(
    request: Request,
    asked: Asked,
    key: QueryingKey,
    engine: OpenedEngine,
    path: Annotated[AnswerPath, Depends(answer_path)],
) -> AsyncIterator[RunningAnswer]:
    # A dependency, because its end comes after the last byte, or as soon as the client is gone.
    origin = Origin(request_id=request.state.request_id, key_id=key.key_id)
    question = replace(asked.by(caller_of(key, asked.principals)), origin=origin)
    async with running(path(engine, question)) as started:
        yield started


@router.post(
    "/v1/answers", response_class=Response, responses={**_SUCCESS, **problems(401, 403, 413, 422, 429, 502, 503)}
)
async def answer_question(
    request: Request, asked: Asked, started: Annotated[RunningAnswer, Depends(_running_answer)]
) -> Response:
    """Answers a question from the documents the caller may see, with citations verified against their text.

    A stream is `passages`, with `tools` a `step` for each that the model calls, then `text` and `citation` as they
    come, then `finished`, or `error` if it broke.
    """
    if not asked.stream or _wants_json(request.headers.get("accept", "")):
        return await while_connected(request, _whole(started, request.state.request_id))
    # Nothing has been sent yet: what goes wrong up to here is a clean status, not a broken stream.
    first = await while_connected(request, started.next())
    events = server_sent(
        started,
        first,
        request_id=request.state.request_id,
        heartbeat=request.app.state.settings.api.heartbeat,
        stopping=request.app.state.stopping,
    )
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


def _wants_json(accept: str) -> bool:
    return "application/json" in accept and "text/event-stream" not in accept


async def _whole(started: RunningAnswer, request_id: str) -> Response:
    found: PassagesEvent | None = None
    steps = list[StepTaken]()
    while True:
        match await started.next():
            case PassagesFound() as event:
                found = PassagesEvent.found(event, request_id)
            case StepTaken() as step:
                steps.append(step)
            case AnswerFinished() as finished if found is not None:
                return JSONResponse(AnswerResponse.joined(found, steps, finished).model_dump(mode="json"))
            case AnswerFailed(code=code, message=message):
                return error_response(request_id, status_of_code(code), code, message)
