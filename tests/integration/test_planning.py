"""The way a search by meaning goes is chosen from counts that are kept, not made, and is said."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from ingest.sources import Request
from retrieval.access import Caller, caller, tenant_id
from retrieval.database.store import Store, open_store
from retrieval.domain import DensePath, DensePlan
from retrieval.search import planning
from retrieval.search.legs import DenseFindings, dense_leg
from retrieval.search.planning import vector_index_name
from retrieval.settings import SearchSettings
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder

LISTS = {"group:a": 30, "group:b": 20, "everyone": 10}


@pytest.fixture
async def store(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """Sixty one-chunk documents: thirty for group a, twenty for b, ten for everyone."""
    for principal, count in LISTS.items():
        folder = tmp_path_factory.mktemp(principal.replace(":", "-"))
        for at in range(count):
            (folder / f"{at}.txt").write_text(f"Pump number {at} was checked.")
        ingest_folder(dsn, WordEmbedder(), "north", Request(paths=(folder,), acl=frozenset({principal})))
    async with open_store(dsn, on_database(dsn).database) as opened:
        yield opened


async def search(store: Store, who: Caller, exact_below: int) -> DenseFindings:
    embedding = await WordEmbedder().embed_question("pump")
    return await dense_leg(store, who, embedding, SearchSettings(candidates=5, exact_below=exact_below))


async def planned(store: Store, who: Caller, exact_below: int) -> DensePlan:
    return (await search(store, who, exact_below)).plan


async def test_few_visible_chunks_are_compared(store: Store) -> None:
    """A caller who sees little is served exactly, also where the tenant has an index."""
    plan = await planned(store, caller("north", ["group:unknown"]), exact_below=10)
    assert (plan.path, plan.visible_chunks, plan.tenant_chunks, plan.indexed) == (DensePath.EXACT, 10, 60, True)


async def test_many_visible_chunks_are_walked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the tenant's index is walked, and the estimate is what the lists add up to."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    plan = await planned(store, caller("north", ["group:a", "group:b"]), exact_below=29)
    assert (plan.path, plan.visible_chunks, plan.counted) == (DensePath.INDEX, 60, False)


@pytest.mark.parametrize(("exact_below", "path"), [(59, DensePath.INDEX), (60, DensePath.EXACT)])
async def test_between_the_bounds_grants_are_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch, exact_below: int, path: DensePath
) -> None:
    """Where the largest list is within the bound and the sum is not, the truth is counted, up to the bound."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    assert (await planned(store, caller("north", ["group:a", "group:b"]), exact_below)).path is path


async def test_a_walk_that_meets_too_few_is_completed(store: Store, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics ten times too high send the search to the index; it still brings every visible chunk, and says how."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO principal_statistics VALUES ('north', 'group:few', 1000)")
        connection.execute("DELETE FROM principal_statistics WHERE principal = 'everyone'")
        connection.execute("UPDATE documents SET acl = '{group:a}' WHERE acl = '{everyone}' AND uri NOT LIKE '%/1.txt'")
    found = await search(store, caller("north", ["group:few"]), exact_below=5)
    assert (found.plan.path, len(found.hits)) == (DensePath.INDEX_COMPLETED, 1)


async def test_a_walk_among_what_others_see_is_not_trusted(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks about what only others may read is answered by comparing all that is visible, and the plan says so."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    for group, word in (("group:a", "pump"), ("group:b", "valve")):
        folder = tmp_path / word
        folder.mkdir()
        for at in range(30):
            (folder / f"{at}.txt").write_text(f"The {word} {at}: {word}, {word} and {word}.")
        ingest_folder(dsn, WordEmbedder(), "north", Request(paths=(folder,), acl=frozenset({group})))
    settings = SearchSettings(candidates=5, exact_below=0, ef_search=20)
    async with open_store(dsn, on_database(dsn).database) as store:
        question = await WordEmbedder().embed_question("pump")
        found = [
            await dense_leg(store, caller("north", [group]), question, settings) for group in ("group:a", "group:b")
        ]
    assert [each.plan.path for each in found] == [DensePath.INDEX, DensePath.INDEX_COMPLETED]
    assert [len(each.hits) for each in found] == [5, 5]


async def test_without_its_index_a_tenant_is_compared(store: Store, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is missing, or not valid yet, is not counted on."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    who = caller("north", ["group:a", "group:b"])
    name = vector_index_name(tenant_id("north"))
    assert (await planned(store, who, exact_below=5)).path is DensePath.INDEX
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name])
    plan = await planned(store, who, exact_below=5)
    assert (plan.path, plan.indexed) == (DensePath.EXACT, False)
    assert len((await search(store, who, exact_below=5)).hits) == 5


async def test_grants_open_nothing_by_themselves(store: Store, dsn: str) -> None:
    """The document's own list decides: a stray grant shows nobody anything."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO grants SELECT tenant_id, 'user:eve', document_id FROM documents WHERE acl = '{group:a}'"
        )
    found = await search(store, caller("north", ["user:eve"]), exact_below=1000)
    assert len(found.hits) == 5
    with psycopg.connect(dsn) as connection:
        seen = connection.execute(
            "SELECT DISTINCT acl FROM documents WHERE document_id = ANY(%s)", [[hit.document_id for hit in found.hits]]
        ).fetchall()
    assert seen == [(["everyone"],)]
