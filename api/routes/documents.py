"""Reading documents: what a citation points into, and lists of what there is."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from api.authentication import MANAGES, HeaderPrincipals, ManagingKey, OpenedEngine, QueryingKey, ReadingKey, caller_of
from api.limiting import limited
from api.openapi import problems
from api.paging import Cursor, Limit, cut, place_by_uri, position, read_cursor
from api.schemas.base import without_nul
from api.schemas.documents import (
    ChunkOut,
    ChunksResponse,
    DocumentOut,
    DocumentResponse,
    DocumentsResponse,
    ManagedDocument,
    ManagedDocumentResponse,
)
from api.schemas.jobs import RevisionOut, RevisionsResponse
from ingest.queueing.curating import check_of_documents, state_of
from ingest.queueing.following import document_revisions
from ingest.queueing.holdings import Holding, Status, Wanted, list_holdings, read_holding
from retrieval.access import Caller
from retrieval.engine import Engine
from retrieval.errors import AccessDenied, NotFound
from retrieval.filter_json import parse_filter
from retrieval.keys import ApiKey
from retrieval.reading import StoredDocument, list_documents, read_document
from retrieval.search.browsing import parts
from retrieval.search.filtering import narrow
from retrieval.search.narrowing import ANYTHING

router = APIRouter(tags=["documents"])

_REFUSALS = problems(401, 403, 404, 422, 429, 503)
_MOST_REVISIONS = 100

Prefix = Annotated[
    Annotated[str, AfterValidator(without_nul)],
    Query(alias="uri_prefix", max_length=600, description="Those whose uri begins so"),
]
FilterText = Annotated[
    str | None,
    Query(alias="filter", max_length=20_000, description="As in a search, as JSON; what was never indexed fits none"),
]
OfStatus = Annotated[Status | None, Query(description="Of what was handed in last. For keys that manage documents")]


@router.get("/v1/documents", responses=problems(401, 403, 422, 429, 503))
async def documents(
    request: Request,
    key: ReadingKey,
    engine: OpenedEngine,
    prefix: Prefix = "",
    status: OfStatus = None,
    wanted: FilterText = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    principals: HeaderPrincipals = None,
) -> DocumentsResponse:
    """Documents by uri, a page at a time.

    With the scope `documents` all of the tenant's, with their state; else those the caller may see.
    """
    caller = await limited(request, key, caller_of(key, principals))
    after = read_cursor(cursor, place_by_uri, "")
    narrowing = await narrow(engine.store, caller, parse_filter(wanted) if wanted else None)
    check_of_documents(narrowing)
    which = Wanted(status=status, prefix=prefix, after=after, narrowing=narrowing)
    if MANAGES in key.scopes:
        return await _managed_page(engine, caller, which, limit)
    if status is not None:
        raise AccessDenied("this API key is not told of the documents' states (scope: documents)")
    return await _seen_page(engine, caller, which, limit)


@router.get("/v1/documents/{document_id}", responses=_REFUSALS)
async def document(
    request: Request,
    response: Response,
    document_id: UUID,
    key: ReadingKey,
    engine: OpenedEngine,
    principals: HeaderPrincipals = None,
) -> DocumentResponse | ManagedDocumentResponse:
    """The document's text, which every offset points into. 404 also when it exists and the caller may not see it.

    With the scope `documents`, of any document what is known of it, and its text where the caller may see that. The
    `ETag` is for `If-Match` of a `PATCH`.
    """
    caller = await limited(request, key, caller_of(key, principals))
    if MANAGES not in key.scopes:
        return DocumentResponse.whole(await read_document(engine, caller, document_id))
    holding = await read_holding(engine.store, key.tenant, document_id)
    tag(response, holding)
    return ManagedDocumentResponse.showing(holding, await _shown(engine, key, caller, document_id))


@router.get("/v1/documents/{document_id}/chunks", responses=_REFUSALS)
async def chunks(
    request: Request,
    document_id: UUID,
    key: QueryingKey,
    engine: OpenedEngine,
    limit: Limit = 50,
    cursor: Cursor = None,
    principals: HeaderPrincipals = None,
) -> ChunksResponse:
    """The pieces that the document is searched by, in its order, if the caller may see it."""
    caller = await limited(request, key, caller_of(key, principals))
    start = read_cursor(cursor, position, 0)
    found = await parts(engine.store, caller, document_id, ANYTHING, start=start, limit=limit + 1)
    if not found and not start:
        raise NotFound("no such document")
    page, following = cut(found, limit, lambda passage: (passage.key.ordinal + 1,))
    return ChunksResponse(chunks=[ChunkOut.of(passage) for passage in page], next=following)


@router.get("/v1/documents/{document_id}/revisions", responses=_REFUSALS)
async def revisions(request: Request, document_id: UUID, key: ManagingKey, engine: OpenedEngine) -> RevisionsResponse:
    """The states of the document that were handed in and what became of them, the newest first, as long as their jobs
    are kept."""
    await limited(request, key, caller_of(key, None))
    found = await document_revisions(engine.store, key.tenant, document_id, _MOST_REVISIONS)
    if not found:
        await read_holding(engine.store, key.tenant, document_id)
    return RevisionsResponse(revisions=[RevisionOut.of(revision) for revision in found], next=None)


def tag(response: Response, holding: Holding) -> None:
    """Says in the response which state of a stored document it shows."""
    if holding.stored is not None:
        response.headers["ETag"] = f'"{state_of(holding.stored.version, holding.stored.updated_at)}"'


async def _managed_page(engine: Engine, caller: Caller, wanted: Wanted, limit: int) -> DocumentsResponse:
    held = await list_holdings(engine.store, caller.tenant, wanted, limit + 1)
    page, following = cut(held, limit, lambda holding: (holding.uri,))
    return DocumentsResponse(documents=[ManagedDocument.of(holding) for holding in page], next=following)


async def _seen_page(engine: Engine, caller: Caller, wanted: Wanted, limit: int) -> DocumentsResponse:
    found = await list_documents(
        engine.store, caller, wanted.narrowing, prefix=wanted.prefix, after=wanted.after, most=limit + 1
    )
    page, following = cut(found, limit, lambda document: (document.uri,))
    return DocumentsResponse(documents=[DocumentOut.of(document) for document in page], next=following)


async def _shown(engine: Engine, key: ApiKey, caller: Caller, document_id: UUID) -> StoredDocument | None:
    """The document, if the key may read and its principals may see it."""
    if "query" not in key.scopes:
        return None
    try:
        return await read_document(engine, caller, document_id)
    except NotFound:
        return None
