"""Sources, runs and what they leave in the database, for tests."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from ingest.syncing.declared import BucketSource, Declared, FolderSource, GitSource, WebsiteSource
from ingest.syncing.domain import SyncReport
from ingest.syncing.opening import open_source
from ingest.syncing.run import synchronise
from ingest.syncing.work import SyncRun
from retrieval.models.protocols import Embedder
from retrieval.settings import Settings, SyncSettings
from tests.conftest import shared_parsers

EVERYONE = ("everyone",)


def run_on(dsn: str, embedder: Embedder, **changed: Any) -> SyncRun:
    """How the tests sync."""
    settings = Settings()
    run = SyncRun(
        dsn=dsn,
        embedder=embedder,
        ingest=settings.ingest,
        settings=SyncSettings(),
        opening=partial(open_source, outbound=settings.outbound),
        parsers=shared_parsers(),
    )
    return replace(run, **changed)


def sync(dsn: str, embedder: Embedder, declared: Declared, **changed: Any) -> SyncReport:
    """One run at the source."""
    return synchronise(run_on(dsn, embedder, **changed), declared)


def folder(path: Path, **said: Any) -> FolderSource:
    """A folder that everyone of the tenant `acme` may read."""
    return FolderSource(**{"kind": "folder", "name": "docs", "tenant": "acme", "path": path, "allow": EVERYONE, **said})


def bucket(endpoint: str, **said: Any) -> BucketSource:
    """The bucket `papers`."""
    common = {"kind": "s3", "name": "papers", "tenant": "acme", "bucket": "papers", "allow": EVERYONE}
    return BucketSource(**{**common, "endpoint": endpoint, "credentials": "TEST_S3", **said})


def repository(url: str, **said: Any) -> GitSource:
    """A git repository."""
    return GitSource(**{"kind": "git", "name": "code", "tenant": "acme", "url": url, "allow": EVERYONE, **said})


def website(url: str, **said: Any) -> WebsiteSource:
    """A website on this machine, asked without a pause."""
    common = {"kind": "website", "name": "site", "tenant": "acme", "allow": EVERYONE, "delay": 0}
    return WebsiteSource(**{**common, "url": url, "allow_private": True, **said})


def documents(dsn: str) -> dict[str, list[str]]:
    """Who may see which document of the tenant `acme`."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT uri, acl FROM documents WHERE tenant_id = 'acme' ORDER BY uri").fetchall()
    return {str(uri): list(acl) for uri, acl in rows}


def written(dsn: str) -> Callable[[], dict[str, int]]:
    """Counts the rows that were written from now on, by table: by the transactions that wrote them."""

    def newest() -> Mapping[str, set[tuple[str, str]]]:
        with psycopg.connect(dsn) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return {
                str(table): set(connection.execute(f"SELECT ctid::text, xmin::text FROM {table}"))  # noqa: S608
                for (table,) in tables
            }

    before = newest()
    return lambda: {table: len(rows - before[table]) for table, rows in newest().items() if rows - before[table]}


def write(root: Path, texts: Mapping[str, str]) -> None:
    """Puts files into a folder, old enough that their times say when they change again."""
    for name, text in texts.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        settle(file)


def settle(file: Path) -> None:
    """Makes the file as old as those that a sync trusts."""
    old = file.stat().st_mtime_ns - 10**10
    os.utime(file, ns=(old, old))
