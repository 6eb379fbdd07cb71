"""Whether what is there when all is done is what was acknowledged."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from pydantic import SecretStr

from ingest.deleting.receipts import list_receipts, verify
from ingest.doctor.checkup import Checkup, examine
from ingest.queueing.line import open_line
from retrieval.access import tenant_id
from retrieval.settings import DatabaseSettings
from tests.integration.test_ingest import counted_right
from tests.kills.load import Client
from tests.kills.receiver import Receiver
from tests.kills.service import Service

_SETTLED_WITHIN = 300.0
_OPEN = "SELECT uri, state, attempts, losses, error_code FROM revisions WHERE state IN ('queued', 'running')"
# Of the queue's own work, which is in the line but once, the second is refused.
_WRONG = ("deadlock detected", "PANIC:", 'violates unique constraint "(?!procrastinate_jobs_queueing)', "status=500")
_ON_THEIR_WAY = "SELECT message_id, attempts, outcome FROM webhook_deliveries WHERE state = 'pending'"


def wait_until_settled(dsn: str) -> int:
    """Returns when nothing waits. What workers were lost with three times was given up: an operator tries it again,
    and so does this. How many."""
    _wait_until_empty(dsn, _OPEN)
    lost = _rows(dsn, "SELECT tenant_id, job_id FROM revisions WHERE state = 'failed' AND error_code = 'worker_lost'")
    again = 0
    for tenant, job_id in lost:
        with open_line(dsn, tenant_id(tenant)) as line:
            again += line.retry(job_id)
    _wait_until_empty(dsn, _OPEN)
    return again


def wait_until_told(dsn: str) -> None:
    """Returns when no message to a webhook is on its way."""
    _wait_until_empty(dsn, _ON_THEIR_WAY)


def differences(service: Service, crowd: Sequence[Client], receiver: Receiver, tenants: Sequence[str]) -> list[str]:
    """Every way in which the state is not what was acknowledged."""
    counted_right(service.dsn)
    return [
        *_documents(service.dsn, crowd),
        *_jobs(service.dsn, crowd),
        *_webhooks(service.dsn, receiver),
        *_receipts(service.dsn, crowd, tenants),
        *_doctor(service.dsn),
        *_logs(service),
    ]


def _documents(dsn: str, crowd: Sequence[Client]) -> Iterator[str]:
    stored = {
        uri: (content.strip(), acl) for uri, content, acl in _rows(dsn, "SELECT uri, content, acl FROM documents")
    }
    expected = {uri: (known.text, [known.allow]) for client in crowd for uri, known in client.expected.items()}
    yield from (f"lost: {uri}" for uri in expected.keys() - stored.keys())
    yield from (f"not deleted: {uri}" for uri in stored.keys() - expected.keys())
    for uri in expected.keys() & stored.keys():
        if stored[uri] != expected[uri]:
            yield f"{uri}: {stored[uri]} and not {expected[uri]}"


def _jobs(dsn: str, crowd: Sequence[Client]) -> Iterator[str]:
    """One for each upload that was acknowledged, and each at its end."""
    jobs = {
        str(job_id): finished for job_id, finished in _rows(dsn, "SELECT job_id, finished_at IS NOT NULL FROM jobs")
    }
    acknowledged = [job for client in crowd for job in client.jobs]
    yield from (f"upload lost: {job}" for job in set(acknowledged) - jobs.keys())
    yield from (f"upload doubled: {job}" for job in jobs.keys() - set(acknowledged))
    yield from (f"two uploads, one job: {job}" for job, times in Counter(acknowledged).items() if times > 1)
    yield from (f"job without end: {job}" for job, finished in jobs.items() if not finished)
    failed = _rows(dsn, "SELECT uri, error_code FROM revisions WHERE state = 'failed' AND error_code <> 'worker_lost'")
    yield from (f"failed: {row}" for row in failed)


def _webhooks(dsn: str, receiver: Receiver) -> Iterator[str]:
    """Each finished job was told, or is on its way: and always by the same id."""
    waiting = {
        job
        for (job,) in _rows(
            dsn,
            "SELECT webhook_messages.data ->> 'job_id' FROM webhook_messages"
            " JOIN webhook_deliveries USING (tenant_id, message_id) WHERE state = 'pending'",
        )
    }
    for job, failed in _rows(dsn, "SELECT job_id, failed FROM jobs WHERE finished_at IS NOT NULL"):
        told = receiver.jobs[str(job)]
        if not told and str(job) not in waiting:
            yield f"job never told: {job}"
        if len(told) > 1 and not failed:
            yield f"job told by {len(told)} ids: {job}"


def _receipts(dsn: str, crowd: Sequence[Client], tenants: Sequence[str]) -> Iterator[str]:
    """Each deletion that was acknowledged has a whole one, and all of them hold."""
    acknowledged, kept = {receipt for client in crowd for receipt in client.receipts}, set[str]()
    for tenant in map(tenant_id, tenants):
        for receipt in list_receipts(dsn, tenant):
            kept |= {str(receipt.receipt_id)} if receipt.state == "complete" else set()
            found = verify(dsn, tenant, receipt.receipt_id)
            if not found.holds:
                yield f"receipt does not hold: {receipt.receipt_id} {found}"
    yield from (f"receipt lost: {receipt}" for receipt in acknowledged - kept)


def _doctor(dsn: str) -> Iterator[str]:
    settings = DatabaseSettings(database_url=SecretStr(dsn))
    checkup = Checkup(dsn=dsn, settings=settings, index_from=1000, embedder=None)
    yield from (finding.line for finding in examine(checkup) if finding.severity in {"error", "warn"})


def _logs(service: Service) -> Iterator[str]:
    """What must not happen even where all is killed."""
    for log in service.logs:
        said = log.read_text(errors="replace")
        for wrong in _WRONG:
            if times := len(re.findall(wrong, said)):
                yield f"{log.name}: {times} × {wrong}"


def _wait_until_empty(dsn: str, query: str) -> None:
    end = time.monotonic() + _SETTLED_WITHIN
    while left := _rows(dsn, query):
        assert time.monotonic() < end, f"stuck: {left}"
        time.sleep(0.5)


def _rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()
