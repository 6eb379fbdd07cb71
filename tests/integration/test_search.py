"""Searches on a real Postgres: nothing starves, nothing leaks, words weigh what BM25 says."""

import json
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from psycopg import sql

from ingest.sources import Request
from retrieval.access import Caller, caller
from retrieval.database.statements import TenantStatement
from retrieval.database.store import Store, open_store
from retrieval.search import planning
from retrieval.search.legs import dense_leg, lexical_leg
from retrieval.settings import SearchSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import WordEmbedder

WORDS = ("pump", "valve", "sensor", "gauge", "filter", "motor", "relay", "cable")
GROUPS = ("group:a", "group:b", "group:c", "everyone")


def made_up(at: int) -> tuple[str, frozenset[str]]:
    """Document number `at`: its text and who may see it. Document 7 is the only one of group:rare."""
    rng = np.random.default_rng(at)
    words = rng.choice(WORDS, size=6)
    acl = frozenset({"group:rare"}) if at == 7 else frozenset({GROUPS[at % len(GROUPS)]})
    return f"The {' '.join(words)} number N{at} was checked. {words[0]} again.", acl


@pytest.fixture(scope="module")
async def store(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """Two tenants with the same 120 documents, one of them with 120 secrets more."""
    folder = tmp_path_factory.mktemp("made-up")
    words = WordEmbedder()
    for dsn in new_database(server):
        for tenant, extra in (("north", ""), ("south", " southern secret")):
            for at in range(120):
                path = folder / tenant / f"{at}.txt"
                path.parent.mkdir(exist_ok=True)
                path.write_text(made_up(at)[0] + extra)
            manifest = folder / tenant / "manifest.jsonl"
            entries = ({"path": f"{at}.txt", "allow": sorted(made_up(at)[1])} for at in range(120))
            manifest.write_text("\n".join(map(json.dumps, entries)))
            ingest_folder(dsn, words, tenant, Request(manifest=manifest))
        async with open_store(dsn, on_database(dsn).database) as opened:
            yield opened


@dataclass(frozen=True)
class Uri:
    document_id: UUID
    uri: str


URIS = TenantStatement(sql.SQL("SELECT document_id, uri FROM documents WHERE tenant_id = %(tenant_id)s"))


def visible(who: Caller) -> set[str]:
    return {f"{who.tenant}/{at}.txt" for at in range(120) if who.may_see(made_up(at)[1])}


async def search(store: Store, who: Caller, text: str, limit: int, **options: int) -> list[str]:
    """Document uris of the dense leg, best first."""
    search_settings = SearchSettings().model_copy(update={"candidates": limit, **options})
    found = await dense_leg(store, who, await WordEmbedder().embed_question(text), search_settings)
    async with store.session(who) as session:
        rows = await session.rows(Uri, URIS)
    names = {row.document_id: row.uri for row in rows}
    return [names[hit.document_id] for hit in found.hits]


@pytest.fixture
def walking(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `exact_below=0`, the index is walked however few chunks there are."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)


@pytest.mark.usefixtures("walking")
@pytest.mark.parametrize("exact_below", [5000, 0])
@pytest.mark.parametrize("principals", [(), ("group:a",), ("group:rare",), ("group:a", "group:b", "group:rare")])
async def test_never_fewer_than_are_visible(store: Store, principals: tuple[str, ...], exact_below: int) -> None:
    """Both plans return min(k, visible) rows, and never one that is not visible, however rare the permission."""
    who = caller("north", principals)
    found = await search(store, who, "pump valve", 50, exact_below=exact_below)
    assert len(found) == min(50, len(visible(who)))
    assert set(found) <= visible(who)


@pytest.mark.usefixtures("walking")
async def test_the_index_walk_finds_what_an_exact_scan_finds(store: Store) -> None:
    """HNSW with iterative scan agrees with the exact order on nine of ten nearest chunks or better."""
    who = caller("north", ["group:a", "group:b"])
    agreed = 0
    for word in WORDS:
        exact = await search(store, who, f"{word} sensor", 10)
        walked = await search(store, who, f"{word} sensor", 10, exact_below=0)
        agreed += len(set(exact) & set(walked))
    assert agreed >= 0.9 * 10 * len(WORDS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=strategies.lists(strategies.sampled_from([*WORDS, "secret", "southern", "N7", "zebra"]), min_size=1),
    principals=strategies.sets(strategies.sampled_from([*GROUPS, "group:rare", "group:unknown"])),
)
async def test_no_question_leaks(store: Store, words: list[str], principals: set[str]) -> None:
    """Whatever is asked by whoever, both legs return only documents of the tenant that the caller may see."""
    who = caller("north", principals)
    found = set(await search(store, who, " ".join(words), 100))
    findings = await lexical_leg(store, who, " ".join(words), SearchSettings())
    async with store.session(who) as session:
        names = {row.document_id: row.uri for row in await session.rows(Uri, URIS)}
    found |= {names[hit.document_id] for hit in findings.hits}
    assert found <= visible(who)


async def test_the_same_question_gives_the_same_order(store: Store) -> None:
    """Ties are broken the same way every time."""
    who = caller("north", ["group:a", "group:b", "group:c"])
    first = [hit.key for hit in (await lexical_leg(store, who, "pump", SearchSettings())).hits]
    for _ in range(3):
        assert [hit.key for hit in (await lexical_leg(store, who, "pump", SearchSettings())).hits] == first


async def test_words_weigh_what_bm25_says(store: Store) -> None:
    """The lexical scores are BM25 over the tenant's chunks, as a plain reference computes it."""
    who = caller("north", [*GROUPS, "group:rare"])
    findings = await lexical_leg(store, who, "pump gauge N7", SearchSettings(candidates=1000))
    async with store.session(who) as session:
        names = {row.document_id: row.uri for row in await session.rows(Uri, URIS)}
    found = {names[hit.document_id]: hit.score for hit in findings.hits}
    expected = reference_bm25(["pump", "gaug", "n7"])
    assert found.keys() == expected.keys()
    for uri, score in expected.items():
        assert found[uri] == pytest.approx(score, abs=2e-4), uri


def reference_bm25(asked: list[str]) -> dict[str, float]:
    """BM25 as published, on the made-up texts; stemming is right for these words only."""
    stop = {"the", "was", "again"}
    texts = {}
    for at in range(120):
        title = f"{at}\n"  # a text file's title is its name
        words = re.findall(r"[a-z0-9]+", (title + made_up(at)[0]).lower())
        stems = {"gauge": "gaug", "valve": "valv", "relay": "relay", "cable": "cabl", "checked": "check"}
        texts[f"north/{at}.txt"] = [stems.get(word, word) for word in words if word not in stop]
    frequency = Counter(word for words in texts.values() for word in set(words))
    idf = {word: math.log1p((120 - frequency[word] + 0.5) / (frequency[word] + 0.5)) for word in asked}
    mass = sum(idf.values())
    scores = {}
    for uri, words in texts.items():
        counts = Counter(words)
        share = sum(
            idf[word] * counts[word] / (counts[word] + 1.2 * (0.25 + 0.75 * len(words) / 100)) for word in asked
        )
        if share:
            scores[uri] = share / mass
    return scores
