"""When a source is due."""

from collections.abc import Sequence
from datetime import UTC, datetime

from croniter import croniter

from ingest.syncing.declared import Declared
from ingest.syncing.state import LastSync, open_state
from retrieval.access import tenant_id


def due(dsn: str, sources: Sequence[Declared]) -> list[Declared]:
    """The sources with a schedule whose time has come. Raises `StoreUnavailable`."""
    now = datetime.now(UTC)
    return [source for source in sources if source.schedule and is_due(source.schedule, _last(dsn, source), now)]


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
