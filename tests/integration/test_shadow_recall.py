"""Walked searches are done again exactly, in the background: recall is a metric, and no request pays for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from uuid import UUID

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql

from ingest.indexing import build_vector_index
from retrieval.access import caller
from retrieval.database.generations import Generation
from retrieval.domain import DensePath, Question
from retrieval.engine import Engine, open_engine
from retrieval.search import planning, shadowing
from retrieval.search.legs import Hit, dense_leg
from retrieval.search.narrowing import ANYTHING
from retrieval.search.planning import vector_index_name
from retrieval.search.shadowing import ShadowSearches, recall
from retrieval.searching import retrieve
from retrieval.telemetry import Telemetry
from tests.conftest import new_database, on_database
from tests.fakes import WordEmbedder

ADA = caller("north", ["group:a"])
CHUNKS = 3000
PROFILE = Generation(embedder=WordEmbedder.name, dimensions=WordEmbedder.dimensions)
FILL = """
    INSERT INTO tenants (tenant_id) VALUES ('north');
    INSERT INTO generations VALUES (1, 'words-64', 64);
    INSERT INTO documents (tenant_id, document_id, uri, title, acl, metadata, language, content_type, content,
                           page_starts, fingerprint, version, updated_at)
    SELECT 'north', md5('d' || n)::uuid, 'd/' || n, 't', '{group:a}', '{}', 'en', 'text/plain', 'x', '{}',
           '', 1, now()
    FROM generate_series(1, %(chunks)s) AS n;
    INSERT INTO grants SELECT tenant_id, 'group:a', document_id FROM documents;
    INSERT INTO principal_statistics VALUES ('north', 'group:a', %(chunks)s);
    INSERT INTO language_statistics VALUES ('north', 'en', %(chunks)s);
    INSERT INTO cut_documents SELECT tenant_id, document_id, 1, '', 1, '' FROM documents;
    INSERT INTO chunks (tenant_id, document_id, ordinal, heading_path, sections, context, text, char_start, char_end,
                        page_starts, token_count)
    SELECT tenant_id, document_id, 0, '{}', '[]', '', 'x', 0, 1, '{}', 1 FROM documents;
    INSERT INTO chunk_terms (tenant_id, document_id, ordinal, term_keys, weights)
    SELECT tenant_id, document_id, 0, '{}', '{}/1000000000' FROM documents
"""
POOR = sql.SQL(
    "CREATE INDEX {} ON embeddings USING hnsw ((embedding::halfvec(64)) halfvec_ip_ops)"
    " WITH (m = 2, ef_construction = 4) WHERE tenant_id = 'north'"
)

Serving = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture(scope="module")
def filled(server: str) -> Iterator[str]:
    """3,000 chunks whose vectors are random, so that near ones are hard to find, and a good index over them."""
    for dsn in new_database(server):
        with psycopg.connect(dsn, autocommit=True) as connection:
            register_vector(connection)
            for statement in FILL.split(";"):
                connection.execute(statement, {"chunks": CHUNKS} if "%(" in statement else None)
            vectors = np.random.default_rng(7).standard_normal((CHUNKS, WordEmbedder.dimensions))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            ids = connection.execute("SELECT document_id FROM documents").fetchall()
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO embeddings VALUES ('north', %s, 0, %s)",
                    [(document, HalfVector(vector)) for (document,), vector in zip(ids, vectors, strict=True)],
                )
            connection.execute("ANALYZE")
        build_vector_index(dsn, ADA.tenant, PROFILE, 0)
        yield dsn


@pytest.fixture
def serving(filled: str, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Opens an engine that walks the index for ten candidates, at this shadow rate."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    settings = on_database(filled)

    @asynccontextmanager
    async def opened(rate: float, ef_search: int = 10) -> AsyncIterator[Engine]:
        walk = {"candidates": 10, "exact_below": 0, "ef_search": ef_search, "shadow_rate": rate}
        search = settings.search.model_copy(update=walk)
        async with open_engine(replace(settings, search=search), embedder=WordEmbedder()) as engine:
            yield engine

    return opened


@pytest.fixture
def closed_grants(filled: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The table that only exact searches read is locked: they hang, walks do not."""
    with psycopg.connect(filled) as connection:
        connection.execute("LOCK TABLE grants")
        yield connection
        connection.rollback()


async def ask(engine: Engine, times: int, *, settled: bool = True) -> None:
    """Searches, one after the other; `settled`: each is done again before the next."""
    for at in range(times):
        await retrieve(engine, Question(text=f"pump number {at}", caller=ADA, limit=5))
        if settled:
            await shadows(engine)._waiting.join()


def shadows(engine: Engine) -> ShadowSearches:
    assert engine.shadows is not None
    return engine.shadows


def told(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"pincite_shadow_{name}", labels) or 0.0


async def test_the_recall_of_walked_searches_is_a_metric_by_plan(serving: Serving) -> None:
    """At rate 1 each of them is done again; a good index finds nearly all of the ten nearest."""
    async with serving(1.0, ef_search=400) as engine:
        await ask(engine, 20)
    telemetry = engine.telemetry
    assert told(telemetry, "searches_total", outcome="compared") == 20
    assert told(telemetry, "recall_count", path="index") == 20
    assert told(telemetry, "recall_sum", path="index") / 20 > 0.98


async def test_an_index_that_misses_is_seen(serving: Serving, filled: str) -> None:
    """Where the graph is poor and the walk narrow, recall falls, and the metric says so."""
    name = vector_index_name(ADA.tenant)
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        connection.execute(POOR.format(sql.Identifier(name)))
    async with serving(1.0) as engine:
        await ask(engine, 20)
    assert 0 < told(engine.telemetry, "recall_sum", path="index") / 20 < 0.9
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    build_vector_index(filled, ADA.tenant, PROFILE, 0)


async def test_what_is_exact_already_is_not_done_again(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only results that came from an index can miss anything."""
    monkeypatch.setattr(planning, "WALK_COST", float(CHUNKS))
    async with serving(1.0) as engine:
        await ask(engine, 3)
    assert told(engine.telemetry, "searches_total", outcome="compared") == 0


async def test_at_rate_nought_nothing_is_done_again(serving: Serving) -> None:
    """And about half of them are at one half."""
    for rate, least, most in ((0.0, 0, 0), (0.5, 1, 59)):
        async with serving(rate) as engine:
            await ask(engine, 60)
        assert least <= told(engine.telemetry, "searches_total", outcome="compared") <= most


@pytest.mark.usefixtures("closed_grants")
async def test_searches_do_not_wait_for_their_shadows(serving: Serving, filled: str) -> None:
    """One hangs, four wait, the others are dropped and counted; then the service closes with one in flight."""
    async with serving(1.0) as engine:
        await ask(engine, 1, settled=False)
        await hanging(filled, 1)
        await ask(engine, 7, settled=False)
        assert told(engine.telemetry, "searches_total", outcome="dropped") == 3
    await hanging(filled, 0)
    assert told(engine.telemetry, "searches_total", outcome="compared") == 0


async def hanging(dsn: str, count: int) -> None:
    """Returns when the server has so many statements that wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(500):
            if connection.execute(query).fetchone() == (count,):
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the server does not settle")


async def test_a_shadow_out_of_time_is_counted_and_the_next_one_runs(
    serving: Serving, closed_grants: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a clock of its own; its failure is nobody's but its own."""
    monkeypatch.setattr(shadowing, "_TIMEOUT", 0.5)
    async with serving(1.0) as engine:
        await ask(engine, 1)
        assert told(engine.telemetry, "searches_total", outcome="failed") == 1
        closed_grants.rollback()
        await ask(engine, 1)
        assert told(engine.telemetry, "searches_total", outcome="compared") == 1


async def test_a_defect_in_a_shadow_is_logged_and_the_next_one_runs(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what nobody expected ends the background work."""
    async with serving(1.0) as engine:
        with monkeypatch.context() as broken:
            broken.setattr(shadows(engine), "_store", None)
            await ask(engine, 1)
        await ask(engine, 1)
    outcomes = [told(engine.telemetry, "searches_total", outcome=outcome) for outcome in ("failed", "compared")]
    assert outcomes == [1, 1]


async def test_too_many_at_once_are_dropped(serving: Serving) -> None:
    """Nobody works: four are kept, the fifth is dropped."""
    telemetry = Telemetry()
    async with serving(0.0) as engine:
        found = await dense_leg(engine.store, ADA, np.ones(64, dtype=np.float32), engine.settings.search)
        idle = ShadowSearches(engine.store, 1.0, telemetry)
        for _ in range(5):
            idle.offer(ADA, np.ones(64, dtype=np.float32), found, ANYTHING)
    assert (found.plan.path, told(telemetry, "searches_total", outcome="dropped")) == (DensePath.INDEX, 1)


def hits(scores: Sequence[float], first: int = 0) -> list[Hit]:
    return [Hit(document_id=UUID(int=first + at), ordinal=0, score=score) for at, score in enumerate(scores)]


def test_recall_is_the_share_of_the_exact_hits_that_were_found() -> None:
    """One that is as near as the last of them is as good; one that is nearer but not among them was taken away."""
    exact = hits([0.9, 0.8, 0.7, 0.7])
    assert recall(hits([0.9, 0.8, 0.7, 0.7]), exact) == 1.0
    assert recall([*exact[:2], *hits([0.7, 0.7], first=10)], exact) == 1.0
    assert recall([*exact[:2], *hits([0.6, 0.5], first=10)], exact) == 0.5
    assert recall([*hits([0.95], first=10), *exact[:3]], exact) == 0.75
    assert recall(hits([0.9]), []) == 1.0
