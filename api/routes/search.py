"""Finding passages without answering."""

from fastapi import APIRouter, Request

from api.authentication import OpenedEngine, QueryingKey, caller_of, may_explain
from api.explanations import ExplainedResponse, ExplainRequest
from api.limiting import limited
from api.openapi import problems
from api.schemas.passages import SearchResponse
from api.streams import while_connected
from retrieval.searching import explain, retrieve

router = APIRouter(tags=["questions"])


@router.post("/v1/search", responses=problems(401, 403, 413, 422, 429, 503))
async def search(
    request: Request, asked: ExplainRequest, key: QueryingKey, engine: OpenedEngine
) -> ExplainedResponse | SearchResponse:
    """The passages that would be put before the model, best first, with their rank in each search leg.

    With `explain`, how they were found as well, and why a named document was not. That needs a key with the scope
    `explain`; that a document exists which the asker may not see is told to one with the scope `admin` alone.
    """
    question = asked.by(await limited(request, key, caller_of(key, asked.principals)))
    request_id = request.state.request_id
    if not asked.explain:
        return SearchResponse.of(await while_connected(request, retrieve(engine, question)), request_id)
    may_explain(key)
    explaining = explain(engine, question, asked.document, any_document="admin" in key.scopes)
    return ExplainedResponse.explaining(await while_connected(request, explaining), request_id)
