"""Changing and taking away documents: seen by the next search."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from api.authentication import ManagingKey, OpenedEngine, caller_of
from api.limiting import limited
from api.openapi import problems
from api.routes.documents import tag
from api.schemas.documents import ManagedDocument
from api.schemas.jobs import DeletedResponse, DeleteRequest
from api.schemas.submissions import MOST_DOCUMENTS, DocumentChange
from api.writing import writing_of
from ingest.queueing.curating import Change, Curator, Removed
from ingest.queueing.holdings import read_holding
from ingest.store import document_id_of
from retrieval.access import TenantId
from retrieval.errors import NotFound
from retrieval.search.filtering import narrow
from retrieval.search.narrowing import Narrowing

router = APIRouter(tags=["documents"])

IfMatch = Annotated[
    str | None,
    Header(max_length=1000, description="The `ETag` of the document as it was read: else it is changed whatever it is"),
]


@router.patch("/v1/documents/{document_id}", responses=problems(401, 403, 404, 412, 413, 422, 429, 503))
async def change(
    request: Request,
    response: Response,
    document_id: UUID,
    wanted: DocumentChange,
    key: ManagingKey,
    engine: OpenedEngine,
    if_match: IfMatch = None,
) -> ManagedDocument:
    """New permissions or metadata, seen by the next search. Nothing is indexed anew.

    What is on its way of the document gets them too. Another title, language or text is another state: hand it in.
    """
    await limited(request, key, caller_of(key, None))
    changed = Change(
        acl=None if wanted.allow is None else frozenset(wanted.allow),
        metadata=wanted.metadata,
        only_if=_states(if_match),
    )
    await writing_of(request).with_curator(key.tenant, lambda curator: curator.change(document_id, changed))
    holding = await read_holding(engine.store, key.tenant, document_id)
    tag(response, holding)
    return ManagedDocument.of(holding)


@router.delete("/v1/documents/{document_id}", status_code=204, responses=problems(401, 403, 404, 422, 429, 503))
async def delete(request: Request, document_id: UUID, key: ManagingKey) -> None:
    """Takes the document away, with what is on its way of it. Once this answers, nothing returns it any more."""
    await limited(request, key, caller_of(key, None))
    if not await writing_of(request).with_curator(key.tenant, lambda curator: curator.forget([document_id])):
        raise NotFound("no such document")


@router.post("/v1/documents/delete", responses=problems(401, 403, 413, 422, 429, 503))
async def delete_many(
    request: Request, wanted: DeleteRequest, key: ManagingKey, engine: OpenedEngine
) -> DeletedResponse:
    """Takes away up to 1000 documents, by uri or by a filter. What is not there is passed over.

    In transactions of 200: cut off half-way, some are gone, and those wholly. `dry_run` only counts.
    """
    caller = await limited(request, key, caller_of(key, None))
    if wanted.filter is not None:
        work = partial(_by_filter, await narrow(engine.store, caller, wanted.filter.parsed()), wanted.dry_run)
    else:
        work = partial(_by_uri, key.tenant, wanted.uris or [], wanted.dry_run)
    removed = await writing_of(request).with_curator(key.tenant, work)
    return DeletedResponse(documents=removed.documents, more=removed.more, dry_run=wanted.dry_run)


def _by_uri(tenant: TenantId, uris: list[str], dry_run: bool, curator: Curator) -> Removed:
    documents = list({document_id_of(tenant, uri) for uri in uris})
    count = curator.existing(documents) if dry_run else curator.forget(documents)
    return Removed(documents=count, more=False)


def _by_filter(narrowing: Narrowing, dry_run: bool, curator: Curator) -> Removed:
    if not dry_run:
        return curator.forget_matching(narrowing, MOST_DOCUMENTS)
    found = curator.matching(narrowing, MOST_DOCUMENTS + 1)
    return Removed(documents=min(len(found), MOST_DOCUMENTS), more=len(found) > MOST_DOCUMENTS)


def _states(if_match: str | None) -> frozenset[str] | None:
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(part.strip().strip('"') for part in if_match.split(","))
