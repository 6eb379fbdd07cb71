"""How every connection is made: none may wait for ever on a server that is gone."""

from typing import Any

import psycopg

from retrieval.errors import InvalidSettings

PATIENCE: dict[str, Any] = {
    # Seconds until a connection attempt is given up, and until a silent peer is: its host may have died.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def connect(
    dsn: str, *, autocommit: bool = False, timeout: int = PATIENCE["connect_timeout"]
) -> psycopg.Connection[tuple[Any, ...]]:
    """A blocking connection, for start-up, administration and ingest, within so many seconds.

    Raises psycopg.OperationalError, and `InvalidSettings` for what is no DSN.
    """
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        # Nothing of the DSN is repeated: it may hold a password.
        raise InvalidSettings("PINCITE_DATABASE_URL is not a Postgres URL (postgresql://user@host/database)") from error
    given = {**PATIENCE, "connect_timeout": timeout}
    return psycopg.connect(dsn, autocommit=autocommit, application_name="pincite", **given)
