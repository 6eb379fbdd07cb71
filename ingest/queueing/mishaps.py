"""Turns that fail, and turns of workers that are gone: what they held waits again."""

from contextlib import suppress

import structlog

from ingest.queueing.line import open_line
from ingest.queueing.turns import Workshop, take_turn
from retrieval.access import TenantId
from retrieval.errors import PinciteError, StoreUnavailable

_log = structlog.get_logger(__name__)

_AGAIN = 1.0
"""Seconds between two looks whether the database is there again."""


def see_through(workshop: Workshop, tenant: TenantId, turn_id: int) -> None:
    """Takes the turn; where it fails, what it held waits again, as soon as there is a database to say so to.

    Raises what nobody foresaw: of that its documents may be the cause.
    """
    try:
        take_turn(workshop, tenant, turn_id)
    except StoreUnavailable as error:
        _log.warning("turn_failed", code=error.code, reason=str(error))
        while not workshop.stopping.wait(_AGAIN):  # once stopped, the sweep sees to it
            with suppress(StoreUnavailable):
                resume(workshop.dsn, tenant, turn_id, blamed=False)
                break
    except PinciteError as error:
        _log.warning("turn_failed", code=error.code, reason=str(error))
        _release(workshop.dsn, tenant, turn_id, blamed=False)
    except Exception:
        _release(workshop.dsn, tenant, turn_id, blamed=True)
        raise


def resume(dsn: str, tenant: TenantId, turn_id: int, *, blamed: bool) -> int:
    """Has another turn follow on one that is over, also where it ended before it held anything.

    How many documents it held. Raises `StoreUnavailable`.
    """
    with open_line(dsn, tenant) as line:
        released = line.release(turn_id, blamed=blamed)
        line.wake_if_due()
        return released


def _release(dsn: str, tenant: TenantId, turn_id: int, *, blamed: bool) -> None:
    with suppress(PinciteError), open_line(dsn, tenant) as line:  # else the sweep sees to it
        line.release(turn_id, blamed=blamed)
