"""The nouns of the queue: what is handed in, what a worker takes, and what a job comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ingest.domain import Metadata

RevisionState = Literal["queued", "running", "indexed", "updated", "unchanged", "failed", "superseded", "cancelled"]
"""`updated`: only permissions or metadata were new. `superseded`: a later state of the document was handed in first."""
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""`failed`: at least one of its documents did. `cancelled`: it was stopped before all of them were settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One document as it is handed in: its bytes, or a `url` to fetch them from.

    `file_name`'s extension says how to read them. `title` and `language` None: found in the file.
    """

    uri: str
    file_name: str
    content: bytes
    url: str | None
    title: str | None
    language: str | None
    acl: frozenset[str]
    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A job that was taken on; `repeated`: this request had been taken on before."""

    job_id: UUID
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRevision:
    """A revision that this turn alone may settle. `losses`: how many workers were lost while they had it."""

    revision_id: UUID
    claim_id: UUID
    document_id: UUID
    uri: str
    file_name: str
    url: str | None
    title: str | None
    language: str | None
    acl: list[str]
    metadata: dict[str, Any]
    bytes: int
    attempts: int
    losses: int
    submitted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a claimed revision; `error_code` and `error_message` only where it failed."""

    revision_id: UUID
    state: RevisionState
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRevision:
    """A revision that came to its end in this transaction; `error_code` only where it failed."""

    revision_id: UUID
    document_id: UUID
    job_id: UUID
    uri: str
    state: RevisionState
    error_code: str | None
    bytes: int
    submitted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedJob:
    """A job that documents were settled of in this transaction; `finished`: its last."""

    job_id: UUID
    total: int
    failed: int
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How far a job has come. `running`: documents that a worker has at this moment; `next_attempt_at`: when the next
    of those that wait will be taken at the earliest."""

    job_id: UUID
    submitter: str
    submitted_at: datetime
    finished_at: datetime | None
    total: int
    waiting: int
    running: int
    indexed: int
    updated: int
    unchanged: int
    failed: int
    superseded: int
    cancelled: int
    next_attempt_at: datetime | None

    @property
    def state(self) -> JobState:
        if self.finished_at is None:
            return "running" if self.running or self.waiting < self.total else "queued"
        if self.failed:
            return "failed"
        return "cancelled" if self.cancelled else "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One document of a job, and what became of it."""

    revision_id: UUID
    job_id: UUID
    position: int
    document_id: UUID
    uri: str
    state: RevisionState
    attempts: int
    due_at: datetime
    version: int | None
    error_code: str | None
    error_message: str | None
    submitted_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Whether documents can be taken now, and when the next of the others can be."""

    due: bool
    next_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much waits, how much failed, and for how many seconds the oldest has been waiting."""

    waiting: int
    failed: int
    oldest: float


Settlements = Sequence[Settlement]
Versions = Mapping[UUID, int]
