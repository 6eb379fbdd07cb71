"""The server and its settings, as far as they decide whether the index is fast, whole and safe."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from ingest.doctor.findings import EVERYWHERE, Finding, Severity
from retrieval.database.server import ADVISED_PGVECTOR
from retrieval.settings import DatabaseSettings

_GB = 1024**3
_LEAST_DISK = 0.1
_PAGE = 8192
_LARGE_LEDGER = 10_000_000
_POOLERS_PORT = "6432"
_LOST_WITHOUT = (
    ("fsync", "data"),
    ("full_page_writes", "pages"),
    ("synchronous_commit", "acknowledged uploads and deletions"),
    ("autovacuum", "space and plans"),
)


def server_findings(found: Mapping[str, str], size: int, settings: DatabaseSettings) -> Iterator[Finding]:
    """What `pg_settings` say that will hurt, for a database of this many bytes."""
    for name, lost in _LOST_WITHOUT:
        if found.get(name) == "off":
            yield _finding(name, "error", f"setting off: {lost} will be lost", f"set {name} = on")
    slots = int(found["max_connections"]) - int(found["superuser_reserved_connections"])
    if slots < settings.database_pool_size + 2:
        remedy = "raise max_connections or lower PINCITE_DATABASE_POOL_SIZE"
        yield _finding("max_connections", "warn", "pool larger than the server's connections", remedy)
    if size > _GB and int(found["shared_buffers"]) * _PAGE < size / 100:
        yield _finding("shared_buffers", "warn", "cache under 1 % of the database", "raise shared_buffers")
    if settings.database_url is not None and settings.database_prepare:
        parts = conninfo_to_dict(settings.database_url.get_secret_value())
        if str(parts.get("port", "")) == _POOLERS_PORT:
            remedy = "set PINCITE_DATABASE_PREPARE=false"
            yield _finding("prepared_behind_pooler", "warn", "pooler's port with prepared statements", remedy)


def pgvector_findings(version: str) -> Iterator[Finding]:
    """Whether pgvector has bugs that are mended by now."""
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < ADVISED_PGVECTOR:
        advised = ".".join(map(str, ADVISED_PGVECTOR))
        yield _finding("pgvector_version", "info", f"pgvector older than {advised}", "ALTER EXTENSION vector UPDATE")


def ledger_findings(rows: int) -> Iterator[Finding]:
    """Whether the ledger has grown out of hand."""
    if rows > _LARGE_LEDGER:
        yield _finding("large_ledger", "info", "calls in the ledger, which is never pruned", "archive old ones", rows)


def disk_findings(settings: DatabaseSettings) -> Iterator[Finding]:
    """Whether the embedded server's disk is nearly full; another server's cannot be seen from here."""
    if settings.database_url is None:
        yield from _disk(settings.data_dir)


def _disk(place: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(place)
    if usage.free < _LEAST_DISK * usage.total:
        yield _finding("disk", "warn", "disk with less than a tenth free", "make room before the next ingest")


def _finding(code: str, severity: Severity, what: str, remedy: str, count: int = 1) -> Finding:
    return Finding(code=code, severity=severity, tenant=EVERYWHERE, count=count, what=what, remedy=remedy)
