"""What was told to an endpoint, and telling it again."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from ingest.webhooks.endpoints import check_there
from ingest.webhooks.events import TEST, statement
from retrieval.access import TenantId, caller
from retrieval.database.store import CallerSession, Store
from retrieval.errors import NotFound
from retrieval.telemetry import DeliveryState

State = DeliveryState

_SIGN = "msg_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one endpoint. `outcome`: of the last attempt, such as `http_204` or `url_unreachable`."""

    message_id: UUID
    type: str
    created_at: datetime
    state: State
    attempts: int
    next_attempt_at: datetime
    outcome: str


async def list_deliveries(
    store: Store, tenant: TenantId, endpoint_id: UUID, *, state: State | None, after: UUID | None, limit: int
) -> list[Delivery]:
    """The newest first, those after the named message. Raises `NotFound`, `StoreUnavailable`."""
    named = {"endpoint_id": endpoint_id, "state": state, "after": after, "limit": limit}
    async with store.session(caller(tenant, ())) as session:
        found = await session.rows(Delivery, statement("list_deliveries"), **named)
        if not found:
            await check_there(session, endpoint_id)
    return found


async def replay_message(store: Store, tenant: TenantId, endpoint_id: UUID, message_id: UUID) -> None:
    """The message is delivered once more, with the id that it had. Raises `NotFound`, `StoreUnavailable`.

    Also to an endpoint that did not want its type then; not to a disabled one.
    """
    async with store.session(caller(tenant, ())) as session:
        await _replay(session, endpoint_id, message_id)


async def replay_since(store: Store, tenant: TenantId, endpoint_id: UUID, since: datetime) -> int:
    """All that the endpoint wants and that happened since, as far as it is kept, is delivered once more. How much.

    Nothing, where it is disabled. Raises `NotFound`, `StoreUnavailable`.
    """
    async with store.session(caller(tenant, ())) as session:
        await check_there(session, endpoint_id)
        replayed = await session.change(statement("replay_since"), endpoint_id=endpoint_id, since=since)
        await session.change(statement("wake"))
    return replayed


async def send_test(store: Store, tenant: TenantId, endpoint_id: UUID) -> UUID:
    """The id of a message that tells of nothing, on its way. Raises `NotFound`, `StoreUnavailable`."""
    message_id = uuid4()
    async with store.session(caller(tenant, ())) as session:
        await session.change(statement("add_test_message"), message_id=message_id, type=TEST)
        await _replay(session, endpoint_id, message_id)
    return message_id


def wire_id(message_id: UUID) -> str:
    """How a message is called outside: in the header `webhook-id`, in lists and in replays."""
    return _SIGN + message_id.hex


def read_wire_id(text: str) -> UUID:
    """The message that is called so. Raises `NotFound`."""
    try:
        return UUID(hex=text.removeprefix(_SIGN))
    except ValueError:
        raise NotFound(f"there is no message {text[:40]!r}") from None


async def _replay(session: CallerSession, endpoint_id: UUID, message_id: UUID) -> None:
    if not await session.change(statement("replay_message"), endpoint_id=endpoint_id, message_id=message_id):
        raise NotFound("there is no such message, or no such webhook that is enabled")
    await session.change(statement("wake"))
