"""The part of a worker that delivers: one telling after the other, for tenants that have something due.

Apart from the turns of documents, so that neither waits for the other.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog
from procrastinate import App

from ingest.apps import app_on, kept_up, opened, take_jobs
from ingest.webhooks.delivering import Post, deliver_due, due_in
from ingest.webhooks.events import statement
from ingest.webhooks.signing import Seal
from retrieval.access import TenantId, caller
from retrieval.database.statements import reference_statement
from retrieval.database.store import open_store
from retrieval.errors import PinciteError
from retrieval.settings import Settings
from retrieval.telemetry import Telemetry
from retrieval.upstream.outbound import open_outbound

_log = structlog.get_logger(__name__)

_QUEUE = "telling"
_CONNECTIONS = 4
_AT_ONCE = 8
"""Tenants a worker delivers for at once."""
_LAST = 5.0
"""Seconds that a delivery may take to come to its end when the worker is stopped; what is cut is delivered again."""
_TENANTS = reference_statement("ingest.queueing", "tenants")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    tenant_id: TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class _Undelivered:
    oldest: float
    disabled: int


async def tell(dsn: str, settings: Settings, telemetry: Telemetry) -> None:
    """Delivers until it is cancelled. Outlives the database being away. Raises `InvalidSettings`."""
    await kept_up(partial(_tell, dsn, settings, telemetry), "telling_begins_anew", _LAST)


async def _tell(dsn: str, settings: Settings, telemetry: Telemetry) -> None:
    async with AsyncExitStack() as stack:
        post = Post(
            store=await stack.enter_async_context(open_store(dsn, settings.database)),
            outbound=await stack.enter_async_context(open_outbound(settings.outbound)),
            seal=Seal(settings.webhooks.key),
            settings=settings.webhooks,
            telemetry=telemetry,
        )
        app = await stack.enter_async_context(opened(_app(post, dsn, settings)))
        await take_jobs(app, settings.worker, [_QUEUE], at_once=_AT_ONCE, last=_LAST)


def _app(post: Post, dsn: str, settings: Settings) -> App:
    app = app_on(dsn, settings.worker, _CONNECTIONS)

    @app.task(name="tell", queue=_QUEUE)
    async def tell_one(tenant: str) -> None:
        try:
            await tell_tenant(post, TenantId(tenant))
        except PinciteError as error:  # the reminder sees to it
            _log.warning("telling_failed", code=error.code, reason=str(error))

    # For what was put off by a worker that is gone, and endpoints that were enabled.
    @app.periodic(cron="* * * * *")
    @app.task(name="remind", queue=_QUEUE, priority=10, queueing_lock="remind")
    async def remind_all(timestamp: int) -> None:  # noqa: ARG001 - procrastinate says when
        await remind(post)

    return app


async def tell_tenant(post: Post, tenant: TenantId) -> None:
    """Delivers what is due and sees to it that what is due later is delivered then. Raises as `deliver_due()` does."""
    result = await deliver_due(post, tenant)
    if result.due_in is not None:
        async with post.store.session(caller(tenant, ())) as session:
            await session.change(statement("wake_in"), seconds=result.due_in)


async def remind(post: Post) -> None:
    """Wakes the workers for every tenant that has something due, and looks how all stand. Raises `StoreUnavailable`."""
    found: list[_Undelivered] = []
    for each in await post.store.reference_rows(_Tenant, _TENANTS):
        async with post.store.session(caller(each.tenant_id, ())) as session:
            if await due_in(session) == 0:
                await session.change(statement("wake"))
            found += await session.rows(_Undelivered, statement("undelivered"))
    post.telemetry.standings.saw(
        webhook_oldest_undelivered_seconds=max((each.oldest for each in found), default=0.0),
        webhook_disabled_endpoints=sum(each.disabled for each in found),
    )
