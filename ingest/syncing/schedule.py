"""When a source is due."""

from datetime import UTC, datetime

from croniter import croniter

from ingest.syncing.declared import Declared
from ingest.syncing.state import LastSync, open_state
from retrieval.access import tenant_id


def due(dsn: str, source: Declared) -> bool:
    """Whether the source has a schedule, and its time has come. Raises `StoreUnavailable` and `TenantLeaving`."""
    return source.schedule is not None and is_due(source.schedule, _last(dsn, source), datetime.now(UTC))


def is_due(schedule: str, last: LastSync | None, now: datetime) -> bool:
    """Whether a source's time has come, by its schedule in UTC: since its last run began. What never ran, or was
    killed while it ran, is due at once; that it is running still, its lock will say."""
    if last is None or last.outcome == "running":
        return True
    following: datetime = croniter(schedule, last.started_at.astimezone(UTC)).get_next(datetime)
    return following <= now


def _last(dsn: str, source: Declared) -> LastSync | None:
    with open_state(dsn, tenant_id(source.tenant), source.name) as state:
        return state.last()
