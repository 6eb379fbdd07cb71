"""Ends of revisions: entered in their jobs and told to webhooks, in the transaction in which they come."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from ingest.queueing.announcing import events_of
from ingest.queueing.records import CountedJob, SettledRevision
from ingest.rows import TenantRows
from ingest.webhooks.events import announce
from retrieval.database.statements import TenantStatement, tenant_statement


def end(on: TenantRows, statement: TenantStatement, *, moment: datetime, **parameters: object) -> list[SettledRevision]:
    """Runs a statement that settles revisions, enters them in their jobs, and drops bytes that are not needed again."""
    settled = on.rows(SettledRevision, statement, moment=moment, **parameters)
    if not settled:
        return []
    jobs = [revision.job_id for revision in settled]
    on.run(_statement("hold_jobs"), job_ids=jobs)
    states = [revision.state for revision in settled]
    counted = on.rows(CountedJob, _statement("count_settled"), job_ids=jobs, states=states, moment=moment)
    done = [revision.revision_id for revision in settled if revision.state != "failed"]
    on.run(_statement("drop_uploads"), revision_ids=done)
    announce(on.run, events_of(settled, counted))
    return settled


def hold(on: TenantRows, documents: Sequence[UUID]) -> None:
    """Until the transaction's end nobody hands in states of these documents, nor changes or sweeps those there are."""
    on.run(_statement("lock_documents"), document_ids=[str(document) for document in documents])
    on.run(_statement("hold_revisions"), document_ids=list(documents))


def call_off(on: TenantRows, documents: Sequence[UUID]) -> None:
    """Cancels what of the documents waits or is worked on; until the transaction's end nobody hands more of them in."""
    hold(on, documents)
    end(on, _statement("supersede"), state="cancelled", document_ids=list(documents), moment=datetime.now(UTC))


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
