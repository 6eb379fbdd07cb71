"""Managing the tenant's webhooks: a key with the scope `admin` may."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from api.authentication import AdministeringKey, OpenedEngine, caller_of
from api.limiting import limited
from api.openapi import problems
from api.schemas.webhooks import (
    DeliveriesResponse,
    MessageId,
    NewWebhookResponse,
    ReplayRequest,
    ReplayResponse,
    SentResponse,
    WebhookOut,
    WebhookRequest,
    WebhooksResponse,
)
from ingest.webhooks.deliveries import (
    State,
    list_deliveries,
    read_wire_id,
    replay_message,
    replay_since,
    send_test,
    wire_id,
)
from ingest.webhooks.endpoints import Endpoints
from retrieval.access import TenantId

router = APIRouter(tags=["webhooks"])

_REFUSALS = problems(401, 403, 422, 429, 503)
_REFUSALS_OF_ONE = problems(401, 403, 404, 422, 429, 503)


async def administered_tenant(request: Request, key: AdministeringKey) -> TenantId:
    """The tenant whose key this is. Raises `AccessDenied`, `RateLimited`."""
    return (await limited(request, key, caller_of(key, None))).tenant


async def tenants_endpoints(engine: OpenedEngine) -> Endpoints:
    """Endpoints in the store that this process serves from."""
    return Endpoints(engine.store, engine.settings)


Tenant = Annotated[TenantId, Depends(administered_tenant)]
TheEndpoints = Annotated[Endpoints, Depends(tenants_endpoints)]
After = Annotated[MessageId | None, Query(description="`next` of the page before")]
InState = Annotated[State | None, Query(description="Only those in this state")]


@router.post("/v1/webhooks", status_code=201, responses=_REFUSALS)
async def add_webhook(body: WebhookRequest, tenant: Tenant, endpoints: TheEndpoints) -> NewWebhookResponse:
    """Have events told to a URL from now on, signed in the Standard Webhooks form. The secret is shown only here."""
    return NewWebhookResponse.of(await endpoints.add(tenant, body.url, body.events))


@router.get("/v1/webhooks", responses=_REFUSALS)
async def list_webhooks(tenant: Tenant, endpoints: TheEndpoints) -> WebhooksResponse:
    """The tenant's webhooks, without their secrets."""
    return WebhooksResponse(webhooks=[WebhookOut.of(endpoint) for endpoint in await endpoints.all(tenant)])


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, responses=_REFUSALS_OF_ONE)
async def remove_webhook(webhook_id: UUID, tenant: Tenant, endpoints: TheEndpoints) -> None:
    """Tell it nothing any more; what was under way to it is forgotten."""
    await endpoints.remove(tenant, webhook_id)


@router.post("/v1/webhooks/{webhook_id}/rotate", responses=_REFUSALS_OF_ONE)
async def rotate_webhook(webhook_id: UUID, tenant: Tenant, endpoints: TheEndpoints) -> NewWebhookResponse:
    """A new secret; for a day messages are signed with the one before as well."""
    return NewWebhookResponse.of(await endpoints.rotate(tenant, webhook_id))


@router.post("/v1/webhooks/{webhook_id}/enable", status_code=204, responses=_REFUSALS_OF_ONE)
async def enable_webhook(webhook_id: UUID, tenant: Tenant, endpoints: TheEndpoints) -> None:
    """Call it again after it answered 410, or before its rest after failures is over."""
    await endpoints.enable(tenant, webhook_id)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202, responses=_REFUSALS_OF_ONE)
async def test_webhook(webhook_id: UUID, tenant: Tenant, engine: OpenedEngine) -> SentResponse:
    """Send it a message of the type `webhook.test`, whatever it wants to be told."""
    return SentResponse(message_id=wire_id(await send_test(engine.store, tenant, webhook_id)))


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=_REFUSALS_OF_ONE)
async def webhook_deliveries(
    webhook_id: UUID,
    tenant: Tenant,
    engine: OpenedEngine,
    state: InState = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> DeliveriesResponse:
    """What was told to it and what is on its way, the newest message first."""
    last = read_wire_id(after) if after else None
    found = await list_deliveries(engine.store, tenant, webhook_id, state=state, after=last, limit=limit)
    return DeliveriesResponse.of(found, limit)


@router.post("/v1/webhooks/{webhook_id}/replay", status_code=202, responses=_REFUSALS_OF_ONE)
async def replay_webhook(webhook_id: UUID, body: ReplayRequest, tenant: Tenant, engine: OpenedEngine) -> ReplayResponse:
    """Deliver a message once more, or all since a time, as far as they are kept: receivers know them by their ids."""
    if body.message_id is not None:
        await replay_message(engine.store, tenant, webhook_id, read_wire_id(body.message_id))
        return ReplayResponse(replayed=1)
    assert body.since is not None  # the schema's validator saw to it
    return ReplayResponse(replayed=await replay_since(engine.store, tenant, webhook_id, body.since))
