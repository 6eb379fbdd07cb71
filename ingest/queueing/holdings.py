"""All of a tenant's documents, as who manages them sees them: stored or on their way, but never their texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ingest.queueing.curating import check_of_documents
from ingest.queueing.records import Revision
from retrieval.access import TenantId, caller
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.errors import NotFound
from retrieval.search.narrowing import Narrowing

Status = Literal["indexed", "queued", "running", "failed"]
"""Of what was handed in last: `indexed` when all of that is searched."""
_PENDING: dict[str, Status] = {"queued": "queued", "running": "running", "failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSummary:
    """A document as it is searched now."""

    document_id: UUID
    uri: str
    title: str
    acl: list[str]
    metadata: dict[str, Any]
    language: str
    content_type: str
    version: int
    chunk_count: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRevision(Revision):
    """The state that was handed in last."""

    title: str | None
    language: str | None
    acl: list[str]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A document. `stored` None: it was never indexed. `pending` None: nothing of it waits, or failed."""

    document_id: UUID
    uri: str
    stored: StoredSummary | None
    pending: LatestRevision | None

    @property
    def status(self) -> Status:
        return "indexed" if self.pending is None else _PENDING[self.pending.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which documents: of a status or of any, whose uri begins so and comes after another's."""

    status: Status | None
    prefix: str
    after: str
    narrowing: Narrowing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    document_id: UUID
    uri: str


async def list_holdings(store: Store, tenant: TenantId, wanted: Wanted, most: int) -> list[Holding]:
    """The tenant's documents by uri, at most so many. What was never indexed fits no filter.

    Raises `InvalidFilter` for a filter about parts of documents, and `StoreUnavailable`.
    """
    check_of_documents(wanted.narrowing)
    async with store.session(caller(tenant, ())) as session:
        named = await session.rows(
            _Named,
            _statement("held_documents"),
            status=wanted.status,
            prefix=wanted.prefix,
            after=wanted.after,
            most=most,
            **wanted.narrowing.parameters,
        )
        return await _holdings(session, named)


async def read_holding(store: Store, tenant: TenantId, document_id: UUID) -> Holding:
    """One document. Raises `NotFound` when it is neither stored nor on its way nor failed; `StoreUnavailable`."""
    async with store.session(caller(tenant, ())) as session:
        named = await session.rows(_Named, _statement("existing_documents"), document_ids=[document_id])
        found = await _holdings(session, named)
    if not found:
        raise NotFound("no such document")
    return found[0]


async def _holdings(session: CallerSession, named: Sequence[_Named]) -> list[Holding]:
    ids = [document.document_id for document in named]
    summaries = await session.rows(StoredSummary, _statement("stored_summaries"), document_ids=ids)
    latest = await session.rows(LatestRevision, _statement("latest_revisions"), document_ids=ids)
    stored = {summary.document_id: summary for summary in summaries}
    pending = {revision.document_id: revision for revision in latest if revision.state in _PENDING}
    return [
        Holding(
            document_id=document.document_id,
            uri=document.uri,
            stored=stored.get(document.document_id),
            pending=pending.get(document.document_id),
        )
        for document in named
        if document.document_id in stored or document.document_id in pending
    ]


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
