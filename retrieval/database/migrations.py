"""Bringing a database to this version's schema, and telling whether it is there."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine as SqlEngine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from retrieval.database.connecting import connect
from retrieval.database.errors import store_errors
from retrieval.database.server import advise, check_server
from retrieval.database.store import APP_ROLE, set_local
from retrieval.errors import IndexMismatch, StoreUnsupported

# In a wheel the scripts lie inside this package: as a top-level folder they would shadow the library.
_PLACES = (Path(__file__).parent / "alembic", Path(__file__).parents[2] / "alembic")

_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended('pincite::migrations', 0))"
"""Services that start together on an empty database bring it up one after the other."""


def upgrade(dsn: str, revision: str = "head") -> None:
    """Runs the migrations up to `revision`. Raises `StoreUnavailable` or `StoreUnsupported`."""
    with store_errors(), connect(dsn) as connection:
        check_server(connection)
    _run(dsn, lambda config: command.upgrade(config, revision))


def downgrade(dsn: str, revision: str) -> None:
    """Runs the migrations down to `revision` (`base`: everything is dropped)."""
    _run(dsn, lambda config: command.downgrade(config, revision))


def check_schema(dsn: str) -> None:
    """Raises `IndexMismatch` unless the schema is exactly this version's, `StoreUnsupported`, `StoreUnavailable`."""
    with store_errors(), connect(dsn) as connection:
        advise(check_server(connection))
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute(set_local("role", APP_ROLE))
    found = row[0] if row else None
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise IndexMismatch(
            f"the database schema is at {found or 'nothing'}, this version needs {wanted}: run 'pincite db upgrade'"
        )


def _run(dsn: str, step: Callable[[Config], None]) -> None:
    config = _config()
    try:
        with _engine(dsn).begin() as connection:
            connection.exec_driver_sql(_TAKE_TURNS)
            config.attributes["connection"] = connection
            step(config)
    except DBAPIError as error:
        raise StoreUnsupported(f"the migration did not run and nothing was changed: {error.orig}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(next(place for place in _PLACES if place.is_dir())))
    config.set_main_option("path_separator", "os")
    return config


def _engine(dsn: str) -> SqlEngine:
    # `creator`: SQLAlchemy does not read libpq's socket URLs as libpq does.
    return create_engine("postgresql+psycopg://", creator=lambda: connect(dsn), poolclass=NullPool)
