"""Reading how far jobs and documents have come."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from ingest.queueing.records import Job, Revision, RevisionState
from retrieval.access import TenantId, caller
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import Store
from retrieval.errors import NotFound


async def read_job(store: Store, tenant: TenantId, job_id: UUID) -> Job:
    """The job. Raises `NotFound` and `StoreUnavailable`."""
    async with store.session(caller(tenant, ())) as session:
        found = await session.rows(Job, _statement("job"), job_id=job_id)
    if not found:
        raise NotFound("no such job: it is another tenant's, or ended long ago")
    return found[0]


async def list_jobs(
    store: Store, tenant: TenantId, most: int, before: tuple[datetime, UUID] | None = None
) -> list[Job]:
    """The tenant's jobs, the newest first; those before the one of this moment and id. Raises `StoreUnavailable`."""
    start: tuple[datetime | None, UUID | None] = before or (None, None)
    async with store.session(caller(tenant, ())) as session:
        return await session.rows(Job, _statement("list_jobs"), before=start[0], before_id=start[1], most=most)


async def job_documents(
    store: Store,
    tenant: TenantId,
    job_id: UUID,
    most: int,
    after: int = 0,
    states: Sequence[RevisionState] | None = None,
) -> list[Revision]:
    """The job's documents in their order, from a position on. Raises `StoreUnavailable`."""
    async with store.session(caller(tenant, ())) as session:
        return await session.rows(
            Revision,
            _statement("job_revisions"),
            job_id=job_id,
            after=after,
            most=most,
            states=None if states is None else list(states),
        )


async def document_revisions(store: Store, tenant: TenantId, document_id: UUID, most: int) -> list[Revision]:
    """The states of a document as they were handed in, the newest first. Raises `StoreUnavailable`."""
    async with store.session(caller(tenant, ())) as session:
        return await session.rows(Revision, _statement("document_revisions"), document_id=document_id, most=most)


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
