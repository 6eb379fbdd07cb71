"""Reading a document that a citation points into."""

from uuid import UUID

from fastapi import APIRouter, Request

from api.authentication import HeaderPrincipals, OpenedEngine, QueryingKey, caller_of
from api.limiting import limited
from api.openapi import problems
from api.schemas.documents import DocumentResponse
from retrieval.reading import read_document

router = APIRouter(tags=["documents"])


@router.get("/v1/documents/{document_id}", responses=problems(401, 403, 404, 422, 429, 503))
async def document(
    request: Request, document_id: UUID, key: QueryingKey, engine: OpenedEngine, principals: HeaderPrincipals = None
) -> DocumentResponse:
    """The document's text, which every offset points into. 404 also when it exists and the caller may not see it."""
    caller = await limited(request, key, caller_of(key, principals))
    return DocumentResponse.of(await read_document(engine, caller, document_id))
