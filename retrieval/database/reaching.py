"""Waiting, at start, for a database that is not there yet."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping

from retrieval.database.connecting import connect
from retrieval.errors import StoreUnavailable
from retrieval.settings import DatabaseSettings

PATIENCE = 300.0
"""Seconds a service waits at its start; then it ends, and is started anew by what runs it."""
_SHORTEST, _LONGEST = 0.5, 10.0
"""Seconds between two tries."""
_TRY = 5
"""Seconds a try may take."""
_AWAY = {Ping.REJECT: "it starts, stops or recovers", Ping.NO_RESPONSE: "it does not answer"}

_log = structlog.get_logger(__name__)


async def database_reached(settings: DatabaseSettings, patience: float = PATIENCE) -> None:
    """Returns once the operator's database takes connections; says in the log that it waits, a line for each try.

    Raises `StoreUnavailable` when it is still away after so many seconds, and at once when it is there and refuses us:
    a wrong password, no such database. Raises `InvalidSettings` for what is no DSN.
    """
    if settings.database_url is None:
        return  # the embedded one is started by who needs it
    dsn, end = settings.database_url.get_secret_value(), time.monotonic() + patience
    for pause in _pauses():
        state = await asyncio.to_thread(_state, dsn)
        if state is None:
            return
        left = end - time.monotonic()
        if left <= 0:
            raise StoreUnavailable(f"the database was away for {patience:.0f} seconds: {state}")
        _log.warning("database_awaited", reason=state, next_try=round(min(pause, left), 1), give_up=round(left))
        await asyncio.sleep(min(pause, left))


def _state(dsn: str) -> str | None:
    """Why the database cannot be had yet; None when it can."""
    try:
        connect(dsn, timeout=_TRY).close()
    except psycopg.OperationalError as error:
        # A failed connection has no SQLSTATE: whether it is away or refuses us, only a ping tells.
        known = _AWAY.get(Ping(PGconn.ping(make_conninfo(dsn, connect_timeout=_TRY).encode())))
        if known is None:
            raise StoreUnavailable(f"the database refuses us: {_reason(error)}") from error
        return f"{_place(dsn)}: {known}"
    return None


def _reason(error: psycopg.OperationalError) -> str:
    """Libpq's last line: what the server said. It never holds the password."""
    return str(error).strip().rsplit("\n", 1)[-1].strip()


def _place(dsn: str) -> str:
    said = conninfo_to_dict(dsn)
    return f"{said.get('host') or said.get('hostaddr') or 'localhost'}, port {said.get('port') or 5432}"


def _pauses() -> Iterator[float]:
    pause = _SHORTEST
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST)
