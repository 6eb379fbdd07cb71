"""A real Postgres for the whole session, the sample corpus in it, and empty databases beside it."""

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from evals.sample.build import build_sample_corpus
from ingest.domain import IngestReport
from ingest.examining import Parsers
from ingest.pipeline import Run, ingest
from ingest.sources import Request, select
from retrieval.access import tenant_id
from retrieval.database import migrations
from retrieval.database.server import database_dsn
from retrieval.engine import Engine, open_engine
from retrieval.models.loading import load_embedder
from retrieval.models.protocols import Embedder
from retrieval.settings import CacheSettings, DatabaseSettings, IngestSettings, RerankerSettings, Settings
from tests.fakes import WordEmbedder

# What the developer's shell says must not decide a test.
for name in [name for name in os.environ if name.startswith("PINCITE_") or name == "OPENAI_API_KEY"]:
    del os.environ[name]

_databases = count(1)


@pytest.fixture(scope="session")
def server() -> str:
    """The embedded server's DSN: its first database stays empty.

    Not in pytest's own folder: another run starting would close that one to the user the server runs as.
    """
    folder = Path(tempfile.mkdtemp(prefix="pincite-test-"))
    # The server's own exit handler is registered after this one, so it runs before it.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return database_dsn(DatabaseSettings(data_dir=folder))


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """A database of one's own, migrated and empty."""
    yield from new_database(server)


@pytest.fixture
def settings(dsn: str) -> Settings:
    """Settings on a database of one's own."""
    return on_database(dsn)


@pytest.fixture
def words() -> WordEmbedder:
    """A fake embedder that can be broken."""
    return WordEmbedder()


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    """The default embedder, loaded once."""
    return load_embedder(Settings().embedder)


@pytest.fixture(scope="session")
def sample_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built sample corpus: a folder per tenant."""
    return {folder.name: folder for folder in build_sample_corpus(tmp_path_factory.mktemp("sample"))}


@pytest.fixture(scope="session")
def sample_settings(server: str, sample_folders: dict[str, Path], minilm: Embedder) -> Iterator[Settings]:
    """Settings on a database with both tenants of the sample corpus. Read from it; do not write to it."""
    for created in new_database(server):
        for tenant, folder in sample_folders.items():
            ingest_folder(created, minilm, tenant, Request(manifest=folder / "manifest.yaml"))
        yield on_database(created)


@pytest.fixture(scope="session")
async def engine(sample_settings: Settings) -> AsyncIterator[Engine]:
    """An open engine over the sample corpus. Its parts are shared: replace none in place."""
    async with open_engine(sample_settings) as opened:
        yield opened


def new_database(server: str) -> Iterator[str]:
    """A migrated database, dropped at the end."""
    name = f"test_{next(_databases)}"
    created, migrated = sql.Identifier(name), sql.Identifier(migrated_database(server))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(created, migrated))
        yield make_conninfo(server, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(created))


@cache
def migrated_database(server: str) -> str:
    """The name of a database that others are copied from: migrated once, then left alone."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    migrations.upgrade(make_conninfo(server, dbname="migrated"))
    return "migrated"


def on_database(dsn: str) -> Settings:
    """The default settings on this database, with time for a busy machine to score every passage.

    Nothing is cached: what one test asked must not answer another.
    """
    return Settings(
        database=DatabaseSettings(database_url=SecretStr(dsn)),
        reranker=RerankerSettings(budget=60),
        cache=CacheSettings(enabled=False),
    )


@cache
def shared_parsers() -> Parsers:
    """A process that parses for all tests: to start one takes longer than most of them."""
    parsers = Parsers(1)
    atexit.register(parsers.close)
    return parsers


def ingest_folder(dsn: str, embedder: Embedder, tenant: str, request: Request) -> IngestReport:
    """One run of the ingest path; every tenant gets a vector index, however small."""
    settings = Settings().ingest.model_copy(update={"index_from": 0})
    return ingest(run_of(dsn, embedder, tenant, settings=settings), select(request))


def run_of(
    dsn: str, embedder: Embedder, tenant: str = "acme", settings: IngestSettings | None = None, **more: Any
) -> Run:
    """A run that parses where all tests do."""
    return Run(
        dsn=dsn,
        tenant=tenant_id(tenant),
        embedder=embedder,
        settings=settings or Settings().ingest,
        parsers=shared_parsers(),
        **more,
    )
