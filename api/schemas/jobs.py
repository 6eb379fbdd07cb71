"""Jobs: documents that were handed in together, and what became of them."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import Wire
from api.schemas.receipts import ReceiptOut
from api.schemas.submissions import MOST_DOCUMENTS, Uri
from ingest.queueing.records import Job, JobState, Receipt, Revision, RevisionState
from retrieval.filter_json import FilterInput

_STORED = frozenset({"indexed", "updated", "unchanged"})


def status_url(job_id: UUID) -> str:
    """Where to ask how far the job has come."""
    return f"/v1/jobs/{job_id}"


class BatchAccepted(Wire):
    """The documents are kept, and will be indexed."""

    job_id: UUID
    status_url: str = Field(description="Where to ask how far it has come")

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        return cls(job_id=receipt.job_id, status_url=status_url(receipt.job_id))


class DocumentAccepted(BatchAccepted):
    """The document is kept, and will be indexed."""

    document_id: UUID

    @classmethod
    def naming(cls, receipt: Receipt, document_id: UUID) -> Self:
        return cls(document_id=document_id, **dict(BatchAccepted.of(receipt)))


class JobOut(Wire):
    """How far a job has come."""

    job_id: UUID
    state: JobState = Field(description="`failed`: at least one document did; `cancelled`: stopped before its end")
    submitter: str = Field(description="The id of the key it was handed in with, or what else did")
    submitted_at: datetime
    finished_at: datetime | None
    total: int
    progress: Annotated[float, AfterValidator(lambda part: round(part, 4))] = Field(description="0 to 1")
    waiting: int = Field(description="Documents that have not come to their end, those worked on included")
    running: int = Field(description="Documents that a worker has at this moment")
    indexed: int
    updated: int = Field(description="Only permissions or metadata were new")
    unchanged: int
    failed: int
    superseded: int = Field(description="A later state of the document was handed in")
    cancelled: int
    next_attempt_at: datetime | None = Field(description="When the next of those that wait is taken at the earliest")

    @classmethod
    def of(cls, job: Job) -> Self:
        counted = ("waiting", "running", "indexed", "updated", "unchanged", "failed", "superseded", "cancelled")
        return cls(
            job_id=job.job_id,
            state=job.state,
            submitter=job.submitter,
            submitted_at=job.submitted_at,
            finished_at=job.finished_at,
            total=job.total,
            progress=1 - job.waiting / job.total,
            next_attempt_at=job.next_attempt_at,
            **{name: getattr(job, name) for name in counted},
        )


class JobsResponse(Wire):
    """A page of jobs, the newest first."""

    jobs: list[JobOut]
    next: str | None = Field(description="`cursor` of the next page; null: this is the last")


class RevisionOut(Wire):
    """A state of a document that was handed in, and what became of it."""

    revision_id: UUID
    job_id: UUID
    document_id: UUID
    uri: str
    state: RevisionState
    attempts: int
    next_attempt_at: datetime | None = Field(description="When a worker takes it at the earliest, while it waits")
    version: int | None = Field(description="The document's version that it became; null unless it did")
    error_code: str | None = Field(description="Why it failed, or what it waits for")
    error_message: str | None
    submitted_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, revision: Revision) -> Self:
        return cls(
            revision_id=revision.revision_id,
            job_id=revision.job_id,
            document_id=revision.document_id,
            uri=revision.uri,
            state=revision.state,
            attempts=revision.attempts,
            next_attempt_at=revision.due_at if revision.state == "queued" else None,
            version=revision.version if revision.state in _STORED else None,
            error_code=revision.error_code,
            error_message=revision.error_message,
            submitted_at=revision.submitted_at,
            settled_at=revision.settled_at,
        )


class RevisionsResponse(Wire):
    """States of one document, the newest first, or a page of a job's documents, in their order."""

    revisions: list[RevisionOut]
    next: str | None = Field(description="`cursor` of the next page; null: this is the last")


class DeleteRequest(Wire):
    """Which documents are to go."""

    uris: list[Uri] | None = Field(None, min_length=1, max_length=MOST_DOCUMENTS)
    filter: FilterInput | None = Field(None, description="Stored documents that fit, whoever may see them")
    dry_run: bool = Field(False, description="Only count")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.uris is None) == (self.filter is None):
            raise PydanticCustomError("which", "wants uris or a filter")
        return self


class DeletedResponse(Wire):
    """What was taken away, or with `dry_run` would be."""

    documents: int = Field(description="How many there were")
    dry_run: bool
    receipt: ReceiptOut | None = Field(description="null where nothing was taken away")
