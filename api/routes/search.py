"""Finding passages without answering."""

from fastapi import APIRouter, Request

from api.authentication import OpenedEngine, QueryingKey, caller_of
from api.openapi import problems
from api.schemas import SearchRequest, SearchResponse
from api.streams import while_connected
from retrieval.answering import retrieve
from retrieval.domain import Question

router = APIRouter(tags=["questions"])


@router.post("/v1/search", responses=problems(401, 403, 413, 422, 503))
async def search(request: Request, asked: SearchRequest, key: QueryingKey, engine: OpenedEngine) -> SearchResponse:
    """The passages that would be put before the model, best first, with their rank in each search leg."""
    question = Question(text=asked.question, caller=caller_of(key, asked.principals), limit=asked.limit)
    found = await while_connected(request, retrieve(engine, question))
    return SearchResponse.of(found, request.state.request_id)
