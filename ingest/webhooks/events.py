"""What can be told, and telling it in the transaction in which it happens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession

EventType = Literal["job.finished", "document.indexed", "document.failed", "document.deleted"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TEST = "webhook.test"
"""The type of messages that are sent to try an endpoint out."""

_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: ids and codes alone, never a document's text. Announced twice, it is told once."""

    type: EventType
    data: Mapping[str, str | int | float | bool | None]
    event_id: UUID = field(default_factory=uuid4)


class Runs(Protocol):
    """Runs a statement with the tenant bound, in a transaction that is open."""

    def __call__(self, statement: TenantStatement, **parameters: object) -> int: ...


def announce(run: Runs, events: Sequence[Event]) -> None:
    """Has the events told to every endpoint that wants them, if and when the transaction of `run` is committed."""
    if events and run(statement("add_messages"), events=_told(events)):
        run(statement("add_deliveries"), event_ids=[event.event_id for event in events])
        run(statement("wake"))


async def announce_in(session: CallerSession, events: Sequence[Event]) -> None:
    """The same in a session. Raises `StoreUnavailable`."""
    if events and await session.change(statement("add_messages"), events=_told(events)):
        await session.change(statement("add_deliveries"), event_ids=[event.event_id for event in events])
        await session.change(statement("wake"))


def _told(events: Sequence[Event]) -> Jsonb:
    told = [{"event_id": str(event.event_id), "type": event.type, "data": dict(event.data)} for event in events]
    assert all(len(json.dumps(each)) <= _MOST_BYTES for each in told), "an event holds ids and codes, no text"
    return Jsonb(told)


def statement(name: str) -> TenantStatement:
    """A statement of this package."""
    return tenant_statement("ingest.webhooks", name)
