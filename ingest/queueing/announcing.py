"""What webhooks are told of documents and jobs: their ids and how they ended, never a word of them."""

from collections.abc import Mapping, Sequence

from ingest.queueing.records import CountedJob, RevisionState, SettledRevision
from ingest.webhooks.events import Event, EventType

_TOLD: Mapping[RevisionState, EventType] = {
    "indexed": "document.indexed",
    "updated": "document.indexed",
    "failed": "document.failed",
}
"""What else a revision comes to changes nothing that can be found."""


def events_of(settled: Sequence[SettledRevision], counted: Sequence[CountedJob]) -> list[Event]:
    """What happened in a transaction that settled these revisions of these jobs."""
    documents = [Event(type=_TOLD[one.state], data=_said_of(one)) for one in settled if one.state in _TOLD]
    jobs = [
        Event(type="job.finished", data={"job_id": str(job.job_id), "total": job.total, "failed": job.failed})
        for job in counted
        if job.finished
    ]
    return [*documents, *jobs]


def _said_of(one: SettledRevision) -> dict[str, str]:
    said = {"document_id": str(one.document_id), "job_id": str(one.job_id), "state": one.state}
    return said if one.error_code is None else said | {"error_code": one.error_code}
