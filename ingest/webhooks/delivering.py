"""Delivering what is due: claim, sign, post, put down what came of it.

No connection is held while an endpoint is called. A claim is a lease: whoever dies with it leaves the message to be
delivered again, with the same id. An endpoint that fails is left alone for a while, then tried with one message.
"""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from ingest.webhooks.deliveries import State, wire_id
from ingest.webhooks.events import statement
from ingest.webhooks.signing import Seal, signed_headers
from retrieval.access import TenantId, caller
from retrieval.database.store import CallerSession, Store
from retrieval.errors import UrlRefused, UrlUnreachable
from retrieval.settings import WebhookSettings
from retrieval.telemetry import Telemetry
from retrieval.upstream.outbound import Outbound
from retrieval.upstream.retry_after import retry_after

STEPS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0)
"""Seconds that an attempt waits at most after the one before it; at least as long as the one before it waited at most.
After the last, about a day after the first, it is given up."""
_AGE_SECONDS = 3 * 24 * 3600.0
"""After which a message is given up that an endpoint could not even be tried with."""
_LONGEST_WISH = 24 * 3600.0
_LONGEST_REST = 3600.0
_MARGIN_SECONDS = 45.0
"""By which a lease outlasts an attempt."""
_AT_ONCE = 4
_MOST_A_ROUND = 500
_GONE = 410

_log = structlog.get_logger(__name__)
_dice = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Everything that delivering takes."""

    store: Store
    outbound: Outbound
    seal: Seal
    settings: WebhookSettings
    telemetry: Telemetry = field(default_factory=Telemetry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of a round: messages by how their attempt ended, and in how many seconds another is due, if any is."""

    delivered: int
    failed: int
    put_off: int
    due_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Callable:
    endpoint_id: UUID
    url: str
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    endpoint_id: UUID
    message_id: UUID
    type: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int
    leased_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secret:
    endpoint_id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    due_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A message, where it goes, and what it is signed with."""

    endpoint: _Callable
    message: _Message
    keys: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What came of an attempt: a code, and how long the endpoint asks to be left alone."""

    code: str
    wish: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.code.startswith("http_2")

    @property
    def gone(self) -> bool:
        return self.code == f"http_{_GONE}"


async def deliver_due(post: Post, tenant: TenantId) -> Round:
    """Attempts what is due for the tenant, at most four messages at once for each endpoint, until nothing is or some
    hundreds were; then takes away what is past its time. Any number of processes may do so at once.

    Raises `StoreUnavailable`, and `InvalidSettings` when the secrets do not open.
    """
    running: dict[asyncio.Task[State], UUID] = {}
    ended: list[State] = []
    try:
        while True:
            if len(ended) + len(running) < _MOST_A_ROUND:
                for task in await _claim(post, tenant, set(running.values())):
                    running[asyncio.create_task(_attempt(post, tenant, task))] = task.endpoint.endpoint_id
            if not running:
                break
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                del running[each]
                ended.append(each.result())
    finally:
        await _end(running)
    return Round(
        delivered=ended.count("delivered"),
        failed=ended.count("failed"),
        put_off=ended.count("pending"),
        due_in=await _close(post, tenant),
    )


async def _claim(post: Post, tenant: TenantId, busy: set[UUID]) -> list[_Task]:
    """Messages that are now ours to attempt. An endpoint that failed gets one, and nobody else tries it meanwhile."""
    lease = post.settings.timeout + _MARGIN_SECONDS
    async with post.store.session(caller(tenant, ())) as session:
        found = await session.rows(_Callable, statement("claim_endpoints"), busy=list(busy))
        if not found:
            return []
        ids = [each.endpoint_id for each in found]
        shares = [1 if each.failures else _AT_ONCE for each in found]
        messages = await session.rows(
            _Message, statement("claim_deliveries"), endpoint_ids=ids, shares=shares, lease=lease
        )
        secrets = await session.rows(_Secret, statement("living_secrets"), endpoint_ids=ids)
        # Inside: secrets that do not open leave everything unclaimed.
        keys = {each: [post.seal.open(row.secret) for row in secrets if row.endpoint_id == each] for each in ids}
        if probed := [each.endpoint_id for each in found if each.failures]:
            await session.change(statement("rest_endpoints"), endpoint_ids=probed, seconds=lease, failures=1)
    endpoints = {each.endpoint_id: each for each in found}
    return [
        _Task(endpoint=endpoints[message.endpoint_id], message=message, keys=keys[message.endpoint_id])
        for message in messages
    ]


async def _attempt(post: Post, tenant: TenantId, task: _Task) -> State:
    outcome = await _send(post, task)
    state = _state(outcome, task.message.attempts)
    _log.info(
        "webhook_attempted",
        endpoint=str(task.endpoint.endpoint_id),
        message=wire_id(task.message.message_id),
        attempt=task.message.attempts,
        outcome=outcome.code,
    )
    async with post.store.session(caller(tenant, ())) as session:
        await _settle(session, task, outcome, state)
    post.telemetry.delivery_attempted(state)
    return state


async def _send(post: Post, task: _Task) -> _Outcome:
    body = _body(task.message)
    headers = signed_headers(wire_id(task.message.message_id), body, task.keys)
    try:
        reply = await post.outbound.post(
            task.endpoint.url, content=body.encode(), headers=headers, deadline=post.settings.timeout
        )
    except (UrlRefused, UrlUnreachable) as error:
        return _Outcome(code=error.code)
    return _Outcome(code=f"http_{reply.status}", wish=_wish(reply.headers))


async def _settle(session: CallerSession, task: _Task, outcome: _Outcome, state: State) -> None:
    message = task.message
    where = {"endpoint_id": message.endpoint_id}
    await session.change(statement("hold_endpoint"), **where)
    await session.change(
        statement("settle_delivery"),
        **where,
        message_id=message.message_id,
        leased_until=message.leased_until,
        state=state,
        outcome=outcome.code,
        delay=max(_delay(message.attempts), outcome.wish),
    )
    if outcome.delivered:
        await session.change(statement("endpoint_answers"), **where)
    elif outcome.gone:
        await session.change(statement("disable_endpoint"), **where)
        await session.change(statement("give_up_endpoint"), **where, outcome=outcome.code)
    else:
        failures = task.endpoint.failures + 1
        rest = max(_rest(failures), min(outcome.wish, _LONGEST_REST))
        named = {"endpoint_ids": [message.endpoint_id], "seconds": rest, "failures": failures}
        await session.change(statement("rest_endpoints"), **named)


async def _close(post: Post, tenant: TenantId) -> float | None:
    """Takes away what is past its time; in how many seconds the next is due."""
    async with post.store.session(caller(tenant, ())) as session:
        await session.change(statement("give_up_old"), age=_AGE_SECONDS)
        await session.change(statement("sweep_messages"), age=post.settings.keep_days * 24 * 3600)
        await session.change(statement("sweep_secrets"))
        return await due_in(session)


async def due_in(session: CallerSession) -> float | None:
    """In how many seconds something may be delivered; None: nothing waits. Raises `StoreUnavailable`."""
    [due] = await session.rows(_Due, statement("next_due"))
    return None if due.due_in is None else max(0.0, due.due_in)


async def _end(running: Mapping[asyncio.Task[State], UUID]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _state(outcome: _Outcome, attempts: int) -> State:
    if outcome.delivered:
        return "delivered"
    return "failed" if outcome.gone or attempts > len(STEPS) else "pending"


def _delay(attempts: int) -> float:
    """Anywhere in its step: many that failed together do not come back together."""
    step = min(attempts, len(STEPS)) - 1
    return _dice.uniform(STEPS[step - 1] if step else 1.0, STEPS[step])


def _rest(failures: int) -> float:
    longest = min(_LONGEST_REST, 2.0 ** min(failures, 20))
    return _dice.uniform(longest / 2, longest)


def _wish(headers: Mapping[str, str]) -> float:
    return min(retry_after(headers) or 0.0, _LONGEST_WISH)


def _body(message: _Message) -> str:
    """The same text each time: what is signed is what was said."""
    said = {"type": message.type, "timestamp": message.created_at.isoformat(), "data": message.data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
