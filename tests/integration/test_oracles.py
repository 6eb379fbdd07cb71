"""What a caller may not see leaves no trace in numbers: neither in metrics nor in plans."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from ingest.sources import Request
from retrieval.access import caller, tenant_id
from retrieval.database.store import Store, open_store
from retrieval.domain import LexicalPath
from retrieval.keys import create_key
from retrieval.search import terms
from retrieval.search.legs import dense_leg, lexical_leg
from retrieval.search.terms import MOST_TERMS
from retrieval.settings import SearchSettings
from tests.conftest import ingest_folder, on_database
from tests.e2e.corpus import engine_on
from tests.e2e.standing import client_of
from tests.fakes import WordEmbedder

ADA = caller("acme", ["group:a"])
RARE = [f"zq{chr(97 + at // 26)}{chr(97 + at % 26)}x" for at in range(MOST_TERMS)]


def put(dsn: str, folder: Path, acl: set[str], texts: list[str]) -> None:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    ingest_folder(dsn, WordEmbedder(), "acme", Request(paths=(folder,), acl=frozenset(acl)))


@pytest.fixture
def filled(dsn: str, tmp_path: Path) -> str:
    """Ten chunks that two of Ada's principals open each, seven that none of them does."""
    put(dsn, tmp_path / "public", {"everyone", "group:a"}, [f"Pump number {at} was checked." for at in range(10)])
    hidden = [f"Layoffs planned for team {at}." for at in range(6)]
    put(dsn, tmp_path / "secret", {"group:hr"}, [*hidden, " ".join(RARE) + "."])
    return dsn


@pytest.fixture
async def store(filled: str) -> AsyncIterator[Store]:
    async with open_store(filled, on_database(filled).database) as opened:
        yield opened


async def examined(http: httpx2.AsyncClient) -> float:
    found = re.search(r'search_rows_examined_sum\{leg="lexical"\} (\S+)', (await http.get("/metrics")).text)
    return float(found[1]) if found else 0.0


async def test_metrics_do_not_count_hidden_words(filled: str) -> None:
    """Asking for a word of hidden documents moves the metrics as much as asking for one that stands nowhere."""
    key = create_key(filled, tenant_id("acme"), "a", {"query"}, {"group:a"})
    async with (
        engine_on(filled, WordEmbedder()) as engine,
        client_of(create_app(engine.settings, engine)) as http,
    ):
        moved = []
        for word in ("layoffs", "unicorns"):
            before = await examined(http)
            await http.post("/v1/search", json={"question": word}, headers={"Authorization": f"Bearer {key}"})
            moved.append(await examined(http) - before)
    assert moved[0] == moved[1]


async def test_a_plan_does_not_tell_the_tenants_total(store: Store) -> None:
    """The estimate is of what the caller's own principals open, whatever else there is."""
    embedding = await WordEmbedder().embed_question("pump")
    plan = (await dense_leg(store, ADA, embedding, SearchSettings())).plan
    assert (plan.visible_chunks, plan.counted) == (20, False)


async def test_many_hidden_words_do_not_crowd_out_a_visible_one(store: Store) -> None:
    """Rarer words than are looked up at first, all of them hidden, and one that the caller may see: it is found."""
    found = await lexical_leg(store, ADA, " ".join([*RARE, "pump"]), SearchSettings())
    assert len(found.hits) == 10


async def test_a_few_hits_are_not_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wider look, too, brings fewer than are wanted, all words are looked up."""
    monkeypatch.setattr(terms, "POSTINGS_BOUND", 1)
    monkeypatch.setattr(terms, "WIDER_BOUND", 2)
    found = await lexical_leg(store, ADA, "7 pump checked", SearchSettings(exact_below=0))
    assert (found.path, len(found.hits)) == (LexicalPath.WIDER, 10)
