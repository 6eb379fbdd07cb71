"""Handing documents in: they are kept at once, and indexed by a worker."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.authentication import ManagingKey, caller_of
from api.limiting import limited
from api.openapi import problems, raw_body
from api.receiving import FormBody, JsonBody, received, received_json, submission_of, submissions_of
from api.resuming import JobKey
from api.schemas.jobs import BatchAccepted, DocumentAccepted, status_url
from api.schemas.submissions import BatchIn, DocumentDescription, DocumentIn
from api.writing import Writing, writing_of
from ingest.queueing.quota import Quota
from ingest.queueing.records import Receipt, Submission
from ingest.store import document_id_of
from retrieval.keys import ApiKey
from retrieval.settings import Settings

router = APIRouter(tags=["documents"])

_REFUSALS = problems(401, 403, 409, 413, 415, 422, 429, 503)
_ONE = raw_body(DocumentIn, form=DocumentDescription)
_MANY = raw_body(BatchIn)


async def _admitted(request: Request, key: ManagingKey) -> ApiKey:
    await limited(request, key, caller_of(key, None))
    return key


AdmittedKey = Annotated[ApiKey, Depends(_admitted)]


@router.put("/v1/documents", status_code=202, responses=_REFUSALS, openapi_extra=_ONE)
@router.post("/v1/documents", status_code=202, responses=_REFUSALS, openapi_extra=_ONE)
async def hand_in(
    request: Request, response: Response, key: AdmittedKey, idempotency_key: JobKey = None
) -> DocumentAccepted:
    """Adds a document, or replaces the one with its uri: PUT and POST mean the same.

    As JSON, or as a form with a `file` and, as JSON in `document`, what is said of it. Once this answers, the document
    is kept; searches have the old one until a worker has indexed the new, and then the new one, never a half. What was
    handed in of it before and is not indexed yet is superseded. The same bytes again are not indexed again.
    """
    writing, settings = writing_of(request), request.app.state.settings
    async with received(request) as body:
        work = partial(_submit, writing, settings, key, idempotency_key, body)
        receipt, uri = await writing.run(key.tenant, work, body.size)
    _say(response, receipt)
    return DocumentAccepted.naming(receipt, document_id_of(key.tenant, uri))


@router.post("/v1/documents/batch", status_code=202, responses=_REFUSALS, openapi_extra=_MANY)
async def hand_in_many(
    request: Request, response: Response, key: AdmittedKey, idempotency_key: JobKey = None
) -> BatchAccepted:
    """Adds or replaces up to 1000 documents as one job: all are kept, or, where one is invalid, none."""
    writing, settings = writing_of(request), request.app.state.settings
    async with received_json(request) as body:
        work = partial(_submit_many, writing, settings, key, idempotency_key, body)
        receipt = await writing.run(key.tenant, work, body.size)
    _say(response, receipt)
    return BatchAccepted.of(receipt)


def _submit(
    writing: Writing, settings: Settings, key: ApiKey, idempotency_key: str | None, body: JsonBody | FormBody
) -> tuple[Receipt, str]:
    submission = submission_of(body, settings)
    return _handed_in(writing, settings, key, [submission], idempotency_key), submission.uri


def _submit_many(
    writing: Writing, settings: Settings, key: ApiKey, idempotency_key: str | None, body: JsonBody
) -> Receipt:
    return _handed_in(writing, settings, key, submissions_of(body, settings), idempotency_key)


def _handed_in(
    writing: Writing, settings: Settings, key: ApiKey, submissions: list[Submission], idempotency_key: str | None
) -> Receipt:
    # The connection is taken only now: what was said of the documents is read and checked without one.
    with writing.curator(key.tenant) as curator:
        return curator.submit(key.key_id, submissions, idempotency_key, Quota.of(settings.worker))


def _say(response: Response, receipt: Receipt) -> None:
    response.headers["Location"] = status_url(receipt.job_id)
    if receipt.repeated:
        response.headers["Idempotency-Replayed"] = "true"
