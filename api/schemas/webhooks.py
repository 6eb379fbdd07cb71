"""Webhooks, and what was told to them."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.schemas.base import Wire
from ingest.webhooks.deliveries import Delivery, State, wire_id
from ingest.webhooks.endpoints import Endpoint, NewSecret
from ingest.webhooks.events import EVENT_TYPES, EventType

MessageId = Annotated[str, StringConstraints(max_length=40)]


class WebhookRequest(Wire):
    """Where to tell what."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(
        description="http or https, at a public address", examples=["https://example.com/pincite"]
    )
    events: list[EventType] = Field(list(EVENT_TYPES), min_length=1, max_length=20, description="Unsaid: all of them")


class NewWebhookResponse(Wire):
    """The secret that messages are signed with, in the Standard Webhooks form: it is not shown again."""

    webhook_id: UUID
    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])

    @classmethod
    def of(cls, made: NewSecret) -> Self:
        return cls(webhook_id=made.endpoint_id, secret=made.secret)


class WebhookOut(Wire):
    """A webhook, without its secrets."""

    webhook_id: UUID
    url: str
    events: list[EventType]
    enabled: bool = Field(description="False once it answered 410")
    failures: int = Field(description="Attempts in a row that failed; while there are any, it is called less often")
    created_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        return cls(
            webhook_id=endpoint.endpoint_id,
            url=endpoint.url,
            events=endpoint.events,
            enabled=endpoint.enabled,
            failures=endpoint.failures,
            created_at=endpoint.created_at,
        )


class WebhooksResponse(Wire):
    """The oldest first."""

    webhooks: list[WebhookOut]


class DeliveryOut(Wire):
    """One message to one webhook."""

    message_id: str = Field(description="The header `webhook-id`", examples=["msg_954bc9cc017a49c0a09b0beab07211be"])
    type: str
    created_at: datetime
    state: State
    attempts: int
    next_attempt_at: datetime = Field(description="Of a pending one")
    outcome: str = Field(description="Of the last attempt: `http_503`, `url_unreachable`, `url_refused`, …")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            message_id=wire_id(delivery.message_id),
            type=delivery.type,
            created_at=delivery.created_at,
            state=delivery.state,
            attempts=delivery.attempts,
            next_attempt_at=delivery.next_attempt_at,
            outcome=delivery.outcome,
        )


class DeliveriesResponse(Wire):
    """The newest first."""

    deliveries: list[DeliveryOut]
    next: str | None = Field(description="What to pass as `after` for the next page; null behind the last")

    @classmethod
    def of(cls, deliveries: list[Delivery], limit: int) -> Self:
        more = wire_id(deliveries[-1].message_id) if len(deliveries) == limit else None
        return cls(deliveries=[DeliveryOut.of(delivery) for delivery in deliveries], next=more)


class ReplayRequest(Wire):
    """One message, or all since a time that the webhook wants; with the ids that they had."""

    message_id: MessageId | None = None
    since: AwareDatetime | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.message_id is None) == (self.since is None):
            raise PydanticCustomError("not_one", "name either message_id or since")
        return self


class ReplayResponse(Wire):
    """How many messages are on their way again."""

    replayed: int


class SentResponse(Wire):
    """The message that is on its way."""

    message_id: str
