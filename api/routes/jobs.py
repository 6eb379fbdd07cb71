"""What became of documents that were handed in."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from api.authentication import ManagingKey, OpenedEngine, StillManaging, caller_of
from api.following import JobProgress
from api.limiting import limited
from api.openapi import JOB_STREAM, problems
from api.paging import Cursor, Limit, cut, position, read_cursor
from api.schemas.jobs import JobOut, JobsResponse, RevisionOut, RevisionsResponse
from api.streams import server_sent, while_connected
from api.writing import writing_of
from ingest.queueing.following import job_documents, list_jobs, read_job
from ingest.queueing.records import RevisionState
from retrieval.access import TenantId

router = APIRouter(tags=["jobs"])

_REFUSALS = problems(401, 403, 422, 429, 503)
_REFUSALS_OF_ONE = problems(401, 403, 404, 422, 429, 503)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Its progress as it comes", "content": {"text/event-stream": JOB_STREAM}}
}


async def _managed(request: Request, key: ManagingKey) -> TenantId:
    return (await limited(request, key, caller_of(key, None))).tenant


Tenant = Annotated[TenantId, Depends(_managed)]
InStates = Annotated[list[RevisionState] | None, Query(alias="state", description="Only those in one of these")]


@router.get("/v1/jobs", responses=_REFUSALS)
async def jobs(tenant: Tenant, engine: OpenedEngine, limit: Limit = 50, cursor: Cursor = None) -> JobsResponse:
    """The tenant's jobs, the newest first, a page at a time."""
    found = await list_jobs(engine.store, tenant, limit + 1, read_cursor(cursor, _moment_and_id, None))
    page, following = cut(found, limit, lambda job: (job.submitted_at.isoformat(), str(job.job_id)))
    return JobsResponse(jobs=[JobOut.of(job) for job in page], next=following)


@router.get("/v1/jobs/{job_id}", responses=_REFUSALS_OF_ONE)
async def job(tenant: Tenant, engine: OpenedEngine, job_id: UUID) -> JobOut:
    """How far the job has come. Jobs are kept for a week after their end, unless the operator says otherwise."""
    return JobOut.of(await read_job(engine.store, tenant, job_id))


@router.get("/v1/jobs/{job_id}/documents", responses=_REFUSALS_OF_ONE)
async def documents_of_job(
    tenant: Tenant,
    engine: OpenedEngine,
    job_id: UUID,
    states: InStates = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RevisionsResponse:
    """What became of each of the job's documents, in their order. Of documents taken away since, nothing is told."""
    await read_job(engine.store, tenant, job_id)
    after = read_cursor(cursor, position, 0)
    found = await job_documents(engine.store, tenant, job_id, limit + 1, after, states)
    page, following = cut(found, limit, lambda revision: (revision.position,))
    return RevisionsResponse(revisions=[RevisionOut.of(revision) for revision in page], next=following)


@router.get("/v1/jobs/{job_id}/events", response_class=Response, responses={**_EVENTS, **_REFUSALS_OF_ONE})
async def job_events(
    request: Request, tenant: Tenant, engine: OpenedEngine, still: StillManaging, job_id: UUID
) -> Response:
    """How far the job has come, now and whenever that changes: `progress`, and at its end `finished`.

    Each event says all there is to say: who comes back after a break has missed nothing.
    """
    progress = JobProgress(engine.store, tenant, job_id, still)
    first = await while_connected(request, progress.next())
    events = server_sent(
        progress,
        first,
        request_id=request.state.request_id,
        heartbeat=request.app.state.settings.api.heartbeat,
        stopping=request.app.state.stopping,
    )
    return EventSourceResponse(events, headers={"X-Accel-Buffering": "no"})


@router.post("/v1/jobs/{job_id}/cancel", responses=_REFUSALS_OF_ONE)
async def cancel(request: Request, tenant: Tenant, engine: OpenedEngine, job_id: UUID) -> JobOut:
    """Stops the job: what is not indexed of it will not be, what is indexed stays. Nothing to stop is no error."""
    await read_job(engine.store, tenant, job_id)
    await writing_of(request).with_curator(tenant, lambda curator: curator.cancel(job_id))
    return JobOut.of(await read_job(engine.store, tenant, job_id))


@router.post("/v1/jobs/{job_id}/retry", responses=_REFUSALS_OF_ONE)
async def retry(request: Request, tenant: Tenant, engine: OpenedEngine, job_id: UUID) -> JobOut:
    """Tries the job's failed documents again, but for those that were handed in anew since."""
    await read_job(engine.store, tenant, job_id)
    await writing_of(request).with_curator(tenant, lambda curator: curator.retry(job_id))
    return JobOut.of(await read_job(engine.store, tenant, job_id))


def _moment_and_id(moment: object, job_id: object) -> tuple[datetime, UUID]:
    return datetime.fromisoformat(str(moment)), UUID(str(job_id))
