"""`pincite webhooks`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from ingest.webhooks.deliveries import (
    Delivery,
    State,
    list_deliveries,
    read_wire_id,
    replay_message,
    replay_since,
    send_test,
    wire_id,
)
from ingest.webhooks.delivering import Post, deliver_due
from ingest.webhooks.endpoints import Endpoints, NewSecret
from ingest.webhooks.events import EVENT_TYPES
from ingest.webhooks.signing import Seal
from retrieval.access import tenant_id
from retrieval.cli import with_store
from retrieval.database.store import Store
from retrieval.errors import InputError
from retrieval.settings import Settings
from retrieval.upstream.outbound import open_outbound

T = TypeVar("T")

webhooks = typer.Typer(no_args_is_help=True, help="URLs that are told what happens: add, list, remove, replay, …")

Tenant = Annotated[str, typer.Option(help="The tenant")]
Webhook = Annotated[UUID, typer.Argument(metavar="WEBHOOK", help="Its id, as listed")]


@webhooks.command("add")
def add_command(
    url: str,
    tenant: Tenant,
    events: Annotated[list[str] | None, typer.Option("--event", help="What to tell [default: all]")] = None,
) -> None:
    """Have events told to a URL from now on. The secret is shown once."""
    _show(_endpoints(lambda all_of: all_of.add(tenant_id(tenant), url, events or EVENT_TYPES)))


@webhooks.command("list")
def list_command(tenant: Tenant) -> None:
    """A tenant's webhooks, a JSON line each, without their secrets."""
    for endpoint in _endpoints(lambda all_of: all_of.all(tenant_id(tenant))):
        print(json.dumps(asdict(endpoint), default=str))


@webhooks.command("remove")
def remove_command(webhook: Webhook, tenant: Tenant) -> None:
    """Tell it nothing any more."""
    _endpoints(lambda all_of: all_of.remove(tenant_id(tenant), webhook))


@webhooks.command("rotate")
def rotate_command(webhook: Webhook, tenant: Tenant) -> None:
    """Make a new secret, shown once; for a day messages are signed with the one before as well."""
    _show(_endpoints(lambda all_of: all_of.rotate(tenant_id(tenant), webhook)))


@webhooks.command("enable")
def enable_command(webhook: Webhook, tenant: Tenant) -> None:
    """Call it again after it answered 410, or before its rest after failures is over."""
    _endpoints(lambda all_of: all_of.enable(tenant_id(tenant), webhook))


@webhooks.command("deliveries")
def deliveries_command(
    webhook: Webhook,
    tenant: Tenant,
    state: Annotated[State | None, typer.Option(help="Only those in this state")] = None,
    after: Annotated[str | None, typer.Option(help="Only those listed after this message")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many")] = 50,
) -> None:
    """What was told to it and what is on its way, the newest first, a JSON line each."""
    last = read_wire_id(after) if after else None
    found = asyncio.run(
        with_store(
            lambda store: list_deliveries(store, tenant_id(tenant), webhook, state=state, after=last, limit=limit)
        )
    )
    for delivery in found:
        print(_line(delivery))


@webhooks.command("replay")
def replay_command(
    webhook: Webhook,
    tenant: Tenant,
    message: Annotated[str | None, typer.Option(help="This message")] = None,
    since: Annotated[datetime | None, typer.Option(help="All that it wants since this time (UTC)")] = None,
) -> None:
    """Deliver a message once more, or all since a time, with the ids that they had."""
    if (message is None) == (since is None):
        raise InputError("name either --message or --since")

    async def replay(store: Store) -> int:
        if message is not None:
            await replay_message(store, tenant_id(tenant), webhook, read_wire_id(message))
            return 1
        assert since is not None
        return await replay_since(store, tenant_id(tenant), webhook, since.replace(tzinfo=UTC))

    print(f"{asyncio.run(with_store(replay))} on their way")


@webhooks.command("test")
def test_command(webhook: Webhook, tenant: Tenant) -> None:
    """Send it a message at once, and say what came of it. Exit code 1: it was not delivered."""
    settings, whose = Settings(), tenant_id(tenant)

    async def test(store: Store) -> Delivery:
        message_id = await send_test(store, whose, webhook)
        async with open_outbound(settings.outbound) as outbound:
            seal = Seal(settings.webhooks.key)
            await deliver_due(Post(store=store, outbound=outbound, seal=seal, settings=settings.webhooks), whose)
        listed = await list_deliveries(store, whose, webhook, state=None, after=None, limit=100)
        return next(each for each in listed if each.message_id == message_id)

    delivery = asyncio.run(with_store(test))
    print(_line(delivery))
    if delivery.state != "delivered":
        raise typer.Exit(1)


def _endpoints(work: Callable[[Endpoints], Awaitable[T]]) -> T:
    settings = Settings()
    return asyncio.run(with_store(lambda store: work(Endpoints(store, settings))))


def _show(made: NewSecret) -> None:
    print(json.dumps({"webhook_id": str(made.endpoint_id), "secret": made.secret}))


def _line(delivery: Delivery) -> str:
    return json.dumps(asdict(delivery) | {"message_id": wire_id(delivery.message_id)}, default=str)
