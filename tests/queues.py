"""Handing documents in, and workers that take them, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg

from ingest.embedding import embedding
from ingest.queueing.line import open_line
from ingest.queueing.records import Receipt, SettledRevision, Submission
from ingest.queueing.turns import Workshop, take_turn
from ingest.store import add_tenant
from retrieval.access import TenantId, tenant_id
from retrieval.models.protocols import Embedder
from retrieval.settings import Settings
from tests.conftest import shared_parsers
from tests.fakes import WordEmbedder

ACME = tenant_id("acme")
PUMP = "The red pump needs oil every week."


def submission(uri: str = "pump.txt", text: str = PUMP, **other: Any) -> Submission:
    """A text document that everyone may see."""
    given = Submission(
        uri=uri,
        file_name="document.txt",
        content=text.encode(),
        url=None,
        title=None,
        language=None,
        acl=frozenset({"everyone"}),
        metadata={},
    )
    return replace(given, **other)


def hand_in(dsn: str, *submissions: Submission, tenant: TenantId = ACME, key: str | None = None) -> Receipt:
    """The documents, as one job."""
    add_tenant(dsn, tenant)
    with open_line(dsn, tenant) as line:
        return line.submit("tests", submissions, key)


def workshop(dsn: str, embedder: Embedder | None = None, told: list[SettledRevision] | None = None) -> Workshop:
    """What a worker has; what is settled is added to `told`."""
    settings = Settings()
    return Workshop(
        dsn=dsn,
        embedding=embedding(dsn, lambda _live: embedder or WordEmbedder()),
        ingest=settings.ingest,
        worker=settings.worker,
        outbound=settings.outbound,
        parsers=shared_parsers(),
        settled=([] if told is None else told).extend,
    )


def turn(shop: Workshop, tenant: TenantId = ACME, turn_id: int = 1) -> None:
    take_turn(shop, tenant, turn_id)


def rows(dsn: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query by the database's owner gives."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, parameters).fetchall()


def states(dsn: str) -> dict[str, str]:
    """The state of each document's newest revision, by uri."""
    found = rows(dsn, "SELECT uri, state FROM revisions ORDER BY submitted_at, revision_id")
    return {str(uri): str(state) for uri, state in found}


def texts(dsn: str) -> dict[str, str]:
    """What is stored, by uri."""
    return {str(uri): str(text) for uri, text in rows(dsn, "SELECT uri, content FROM documents")}


def waiting_turns(dsn: str) -> list[str]:
    """The tenants whose turns wait to be taken now."""
    found = rows(
        dsn,
        "SELECT args ->> 'tenant' FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at IS NULL ORDER BY id",
    )
    return [str(tenant) for (tenant,) in found]


def counts(dsn: str, job_id: UUID) -> dict[str, int]:
    """A job's counts that are not zero."""
    names: Sequence[str] = ("waiting", "indexed", "updated", "unchanged", "failed", "superseded", "cancelled")
    [found] = rows(dsn, f"SELECT {', '.join(names)} FROM jobs WHERE job_id = %s", job_id)  # noqa: S608 - names of ours
    return {name: count for name, count in zip(names, found, strict=True) if count}
