"""How much a tenant may have waiting in its line."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.queueing.records import SettledRevision, Submission
from ingest.rows import TenantRows
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.errors import QueueFull
from retrieval.settings import WorkerSettings

_COME_BACK = 30
"""Seconds after which workers will have made some room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The documents, and their bytes, that may wait or be worked on at once."""

    documents: int
    bytes: int

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Quota":
        """As the operator has it."""
        return cls(documents=settings.max_waiting, bytes=settings.max_waiting_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Amount:
    documents: int
    bytes: int


def make_room(
    on: TenantRows, quota: Quota, submissions: Sequence[Submission], replaced: Sequence[SettledRevision]
) -> None:
    """Returns where the submissions fit into the line, from which `replaced` was just taken; until the end of the
    transaction nobody else adds to it. What takes no more than it replaces always fits. Raises `QueueFull`."""
    on.run(_statement("lock_line"))
    [others] = on.rows(_Amount, _statement("count_waiting"), most=quota.documents)
    added = _Amount(documents=len(submissions), bytes=sum(len(each.content) for each in submissions))
    freed = _Amount(documents=len(replaced), bytes=sum(each.bytes for each in replaced))
    if added.documents > freed.documents and others.documents + added.documents > quota.documents:
        raise QueueFull(f"no more than {quota.documents} documents may wait to be indexed", _COME_BACK)
    if added.bytes > freed.bytes and others.bytes + added.bytes > quota.bytes:
        raise QueueFull(f"no more than {quota.bytes} bytes may wait to be indexed", _COME_BACK)


def _statement(name: str) -> TenantStatement:
    return tenant_statement("ingest.queueing", name)
