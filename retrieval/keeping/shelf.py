"""The shelf: attempts at answers and their events in Postgres, where every process of the service finds them.

An attempt holds the slot of its key for as long as its process renews its lease. What it said is read back only by the
caller it was made for, and only while every document it shows stands as it was shown and may be seen.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

from retrieval.access import Caller, TenantId, caller
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import CallerSession, Store
from retrieval.errors import AnswerInterrupted, AnswerWithdrawn, IdempotencyKeyReused, NotFound
from retrieval.keeping.identity import Owner, slot_of
from retrieval.settings import KeepingSettings

State = Literal["running", "finished", "failed"]
WITHDRAWN = "a document this answer shows was changed or taken away: ask anew, with another key"
Source = tuple[UUID, int]
"""A document, and which version of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEvent:
    """One event as it goes out: its number in its answer (from 1), its name, and its data as JSON."""

    number: int
    name: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt at an answer; `mine`: it is to be made now, by whoever claimed it."""

    answer_id: UUID
    mine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is new of one answer. `state` is what it has come to with these events."""

    answer_id: UUID
    state: State
    events: tuple[WireEvent, ...]
    sources: frozenset[Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is new of a kept answer to `request`; `running`: there may be more."""

    request: bytes
    events: tuple[WireEvent, ...]
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Living:
    answer_id: UUID
    followed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    answer_id: UUID
    request: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Id:
    answer_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holding:
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptBatch:
    request: bytes
    state: str
    alive: bool
    standing: bool
    events: str


class Shelf:
    """Reads and writes kept answers. Every method raises `StoreUnavailable`."""

    def __init__(self, store: Store, settings: KeepingSettings) -> None:
        self._store = store
        self._times = {"lease": settings.lease, "keep": settings.seconds}
        self._most = settings.answers

    async def claim(self, owner: Owner, key: str, request: bytes) -> Claim:
        """The attempt that has the key, or a new one that now does.

        Raises `IdempotencyKeyReused` when it was made for another request.
        """
        slot = slot_of(owner, key)
        wanted = {"slot": slot, "answer_id": uuid4(), "owner": owner.digest, "request": request, **self._times}
        async with self._store.session(owner.caller) as session:
            claimed = await session.rows(_Attempt, _statement("claim_slot"), **wanted)
            if not claimed and await session.rows(_Id, _statement("vacate_slot"), slot=slot):
                claimed = await session.rows(_Attempt, _statement("claim_slot"), **wanted)
            if claimed:
                return Claim(answer_id=claimed[0].answer_id, mine=True)
            holders = await session.rows(_Attempt, _statement("slot_holder"), slot=slot)
        if not holders:
            raise AnswerInterrupted("another attempt at this answer ended this moment: ask again")
        if holders[0].request != request:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another question")
        return Claim(answer_id=holders[0].answer_id, mine=False)

    async def release(self, tenant: TenantId, answer_id: UUID) -> None:
        """Nothing came of the attempt: its key is free again."""
        async with self._store.session(_writer(tenant)) as session:
            await session.rows(_Id, _statement("release_slot"), answer_id=answer_id)

    async def write(self, tenant: TenantId, batches: Sequence[Batch]) -> dict[UUID, bool]:
        """Puts the batches of the tenant's answers down and renews their leases. Those that are still kept, and
        whether somebody at another process follows them.

        An answer that is not is withdrawn, by who changed what it shows or here, because it shows what is gone; or
        another process has taken it for dead. Whenever one has ended, more is
        taken away of what is past its time or beyond the tenant's share than one answer adds.
        """
        async with self._store.session(_writer(tenant)) as session:
            gone = await _gone(session, batches)
            if gone:
                await session.rows(_Id, _statement("withdraw_answers"), answer_ids=list(gone))
            batches = [batch for batch in batches if batch.answer_id not in gone]
            shown = _shown(batches)
            living = await session.rows(_Living, _statement("put_events"), **_columns(batches), **self._times)
            if shown:
                answers, documents, versions = map(list, zip(*shown, strict=True))
                await session.rows(
                    _Id, _statement("put_sources"), answer_ids=answers, document_ids=documents, versions=versions
                )
            if any(batch.state != "running" for batch in batches):
                await session.rows(_Id, _statement("sweep_kept"), most=self._most)
        return {row.answer_id: row.followed for row in living}

    async def withdrawn(self, tenant: TenantId, answers: Sequence[UUID]) -> frozenset[UUID]:
        """Those of the answers that show what was changed or taken away."""
        async with self._store.session(_writer(tenant)) as session:
            rows = await session.rows(_Id, _statement("withdrawn_answers"), answer_ids=list(answers))
        return frozenset(row.answer_id for row in rows)

    async def follow(self, owner: Owner, answer_id: UUID, seconds: float) -> None:
        """Whoever writes this answer is to go on for these seconds: somebody reads it."""
        async with self._store.session(owner.caller) as session:
            follow = _statement("follow_kept")
            await session.rows(_Id, follow, answer_id=answer_id, owner=owner.digest, seconds=seconds)

    async def read(self, owner: Owner, answer_id: UUID, after: int) -> Kept:
        """The events after this number that are there by now.

        Raises `NotFound` for what is not kept or was made for another caller, `AnswerWithdrawn`, and
        `AnswerInterrupted` once its process is gone.
        """
        async with self._store.session(owner.caller) as session:
            rows = await session.rows(
                _KeptBatch, _statement("kept_batches"), answer_id=answer_id, owner=owner.digest, after=after
            )
        if not rows:
            raise NotFound("no such answer is kept for you: only those asked for with an Idempotency-Key are")
        if not rows[0].standing:
            raise AnswerWithdrawn(WITHDRAWN)
        events = _in_order((event for row in rows for event in _unpacked(row.events)), after)
        running = rows[0].state == "running"
        if not events and running and not rows[0].alive:
            raise AnswerInterrupted("the process that wrote this answer is gone: ask again with the same key")
        return Kept(request=rows[0].request, events=events, running=running)


async def _gone(session: CallerSession, batches: Sequence[Batch]) -> frozenset[UUID]:
    """The answers that show what is not there any more; what the others show is there until the transaction's end."""
    shown = _shown(batches)
    if not shown:
        return frozenset()
    _, documents, versions = map(list, zip(*shown, strict=True))
    holding = await session.rows(_Holding, _statement("hold_shown"), document_ids=documents, versions=versions)
    standing = {row.position for row in holding}
    return frozenset(answer_id for at, (answer_id, *_) in enumerate(shown, start=1) if at not in standing)


def _shown(batches: Sequence[Batch]) -> list[tuple[UUID, UUID, int]]:
    return [(batch.answer_id, *source) for batch in batches for source in batch.sources]


def _columns(batches: Sequence[Batch]) -> dict[str, object]:
    return {
        "answer_ids": [batch.answer_id for batch in batches],
        "states": [batch.state for batch in batches],
        "last_numbers": [batch.events[-1].number if batch.events else 0 for batch in batches],
        "events": [_packed(batch.events) for batch in batches],
    }


def _packed(events: Sequence[WireEvent]) -> str:
    return json.dumps([(event.number, event.name, event.data) for event in events], ensure_ascii=False)


def _unpacked(text: str) -> list[WireEvent]:
    return [WireEvent(number=number, name=name, data=data) for number, name, data in json.loads(text)]


def _in_order(events: Iterable[WireEvent], after: int) -> tuple[WireEvent, ...]:
    """Each event after this number once: a batch that was written again, because nobody knew whether it had been, may
    hold events of the one before it."""
    found = list[WireEvent]()
    for event in events:
        if event.number > (found[-1].number if found else after):
            found.append(event)
    return tuple(found)


def _writer(tenant: TenantId) -> Caller:
    return caller(tenant, ())


def _statement(name: str) -> TenantStatement:
    return tenant_statement("retrieval.keeping", name)
