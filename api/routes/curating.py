"""Changing and taking away documents: seen by the next search."""

from datetime import UTC, datetime
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
from api.schemas.receipts import ReceiptOut, ReceiptsResponse, VerificationOut
from api.schemas.submissions import DocumentChange
from api.writing import writing_of
from ingest.deleting.documents import delete_documents, delete_matching, find_matching
from ingest.deleting.receipts import Deletion, find_receipt, list_receipts, verify
from ingest.queueing.curating import Change
from ingest.queueing.holdings import read_holding
from ingest.store import document_id_of
from retrieval.database.server import database_dsn
from retrieval.engine import Engine
from retrieval.keys import ApiKey

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


@router.delete("/v1/documents/{document_id}", responses=problems(401, 403, 404, 422, 429, 503))
async def delete(request: Request, document_id: UUID, key: ManagingKey, engine: OpenedEngine) -> ReceiptOut:
    """Takes the document away, with what is on its way of it. Once this answers, nothing returns it any more."""
    await limited(request, key, caller_of(key, None))
    deletion = _deletion(engine, key)
    work = partial(delete_documents, deletion, document_ids=[document_id])
    return ReceiptOut.of(await writing_of(request).run(key.tenant, work))


@router.post("/v1/documents/delete", responses=problems(401, 403, 413, 422, 429, 503))
async def delete_many(
    request: Request, wanted: DeleteRequest, key: ManagingKey, engine: OpenedEngine
) -> DeletedResponse:
    """Takes documents away, by uri or by a filter. What is not there is passed over; `dry_run` only counts.

    In transactions of 200: cut off half-way, some are gone, and those wholly.
    """
    await limited(request, key, caller_of(key, None))
    deletion, writing = _deletion(engine, key), writing_of(request)
    if wanted.filter is not None:
        fits = wanted.filter.parsed()
        count = len(await writing.run(key.tenant, partial(find_matching, deletion, fits)))
        work = partial(delete_matching, deletion, fits)
    else:
        documents = [document_id_of(key.tenant, uri) for uri in wanted.uris or []]
        count = await writing.with_curator(key.tenant, lambda curator: curator.existing(documents))
        work = partial(delete_documents, deletion, document_ids=documents)
    if wanted.dry_run or not count:
        return DeletedResponse(documents=count, dry_run=wanted.dry_run, receipt=None)
    receipt = await writing.run(key.tenant, work)
    return DeletedResponse(documents=count, dry_run=False, receipt=ReceiptOut.of(receipt))


@router.get("/v1/receipts", responses=problems(401, 403, 422, 429, 503))
async def receipts(request: Request, key: ManagingKey, engine: OpenedEngine) -> ReceiptsResponse:
    """The tenant's deletions, the newest first."""
    await limited(request, key, caller_of(key, None))
    found = await writing_of(request).run(key.tenant, partial(list_receipts, _dsn(engine), key.tenant))
    return ReceiptsResponse(receipts=[ReceiptOut.of(receipt) for receipt in found])


@router.get("/v1/receipts/{receipt_id}", responses=problems(401, 403, 404, 422, 429, 503))
async def receipt(request: Request, receipt_id: UUID, key: ManagingKey, engine: OpenedEngine) -> ReceiptOut:
    """One deletion."""
    await limited(request, key, caller_of(key, None))
    work = partial(find_receipt, _dsn(engine), key.tenant, receipt_id)
    return ReceiptOut.of(await writing_of(request).run(key.tenant, work))


@router.post("/v1/receipts/{receipt_id}/verify", responses=problems(401, 403, 404, 422, 429, 503))
async def verify_receipt(request: Request, receipt_id: UUID, key: ManagingKey, engine: OpenedEngine) -> VerificationOut:
    """Looks again into every table that the deletion went through."""
    await limited(request, key, caller_of(key, None))
    work = partial(verify, _dsn(engine), key.tenant, receipt_id)
    return VerificationOut.of(await writing_of(request).run(key.tenant, work))


def _deletion(engine: Engine, key: ApiKey) -> Deletion:
    return Deletion(
        dsn=_dsn(engine),
        tenant=key.tenant,
        asked_by=f"key:{key.key_id}",
        asked_at=datetime.now(UTC),
        invisible=engine.telemetry.became_invisible,
    )


def _dsn(engine: Engine) -> str:
    return database_dsn(engine.settings.database)


def _states(if_match: str | None) -> frozenset[str] | None:
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(part.strip().strip('"') for part in if_match.split(","))
