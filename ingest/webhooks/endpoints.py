"""Who wants to be told: endpoints and their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from ingest.webhooks.events import EVENT_TYPES, EventType, statement
from ingest.webhooks.signing import Seal, new_secret
from retrieval.access import TenantId, caller
from retrieval.database.store import CallerSession, Store
from retrieval.errors import InputError, NotFound
from retrieval.settings import Settings
from retrieval.upstream.destinations import Destinations, Resolver

MOST_ENDPOINTS = 20
"""For each tenant: an event is a message to each of them."""
OVERLAP_SECONDS = 24 * 3600.0
"""For which a secret is good after it was rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as it is listed: nothing of its secrets. `failures`: attempts in a row that failed."""

    endpoint_id: UUID
    url: str
    events: list[EventType]
    enabled: bool
    failures: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A secret, the only time that it is shown."""

    endpoint_id: UUID
    secret: str = field(repr=False)


class Endpoints:
    """A tenant's endpoints. Every method raises `StoreUnavailable`; those that name one, `NotFound`."""

    def __init__(self, store: Store, settings: Settings, resolve: Resolver | None = None) -> None:
        self._store = store
        self._destinations = Destinations(settings.outbound, resolve)
        self._seal = Seal(settings.webhooks.key)

    async def add(self, tenant: TenantId, url: str, events: Sequence[str]) -> NewSecret:
        """A new endpoint that is told of these events from now on.

        Raises `InputError` for no or unknown events and beyond twenty endpoints, and `UrlRefused`.
        """
        if not events or not set(events) <= set(EVENT_TYPES):
            raise InputError(f"events are {', '.join(EVENT_TYPES)}")
        await self._destinations.admit(url)
        endpoint_id = uuid4()
        row = {"endpoint_id": endpoint_id, "url": url, "events": sorted(set(events)), "most": MOST_ENDPOINTS}
        async with self._store.session(caller(tenant, ())) as session:
            if not await session.change(statement("add_endpoint"), **row):
                raise InputError(f"no such tenant, or it has {MOST_ENDPOINTS} webhooks already")
            return await self._give_secret(session, endpoint_id)

    async def all(self, tenant: TenantId) -> list[Endpoint]:
        """The oldest first."""
        async with self._store.session(caller(tenant, ())) as session:
            return await session.rows(Endpoint, statement("list_endpoints"))

    async def remove(self, tenant: TenantId, endpoint_id: UUID) -> None:
        """It is told nothing any more, and what was under way to it is forgotten."""
        await self._change(tenant, "remove_endpoint", endpoint_id)

    async def enable(self, tenant: TenantId, endpoint_id: UUID) -> None:
        """It is told again, of what happens from now on; for what it missed, see `replay_since()`."""
        await self._change(tenant, "enable_endpoint", endpoint_id)  # the reminder sees to what waits for it

    async def rotate(self, tenant: TenantId, endpoint_id: UUID) -> NewSecret:
        """A new secret; for a day messages are signed by the one before as well."""
        async with self._store.session(caller(tenant, ())) as session:
            await session.change(statement("retire_secrets"), endpoint_id=endpoint_id, overlap=OVERLAP_SECONDS)
            return await self._give_secret(session, endpoint_id)

    async def _give_secret(self, session: CallerSession, endpoint_id: UUID) -> NewSecret:
        made = NewSecret(endpoint_id=endpoint_id, secret=new_secret())
        row = {"endpoint_id": endpoint_id, "secret_id": uuid4(), "secret": self._seal.close(made.secret)}
        if not await session.change(statement("add_secret"), **row):
            raise not_found(endpoint_id)
        return made

    async def _change(self, tenant: TenantId, name: str, endpoint_id: UUID) -> None:
        async with self._store.session(caller(tenant, ())) as session:
            if not await session.change(statement(name), endpoint_id=endpoint_id):
                raise not_found(endpoint_id)


async def check_there(session: CallerSession, endpoint_id: UUID) -> None:
    """Raises `NotFound` where the endpoint is not the session's tenant's."""
    if endpoint_id not in {each.endpoint_id for each in await session.rows(Endpoint, statement("list_endpoints"))}:
        raise not_found(endpoint_id)


def not_found(endpoint_id: UUID) -> NotFound:
    """The error for an endpoint that is not the tenant's, or nobody's."""
    return NotFound(f"there is no webhook {endpoint_id}")
