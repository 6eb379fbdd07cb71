"""A filter goes through the planner: what it lets through decides the path, and nothing that matches is missed."""

from collections.abc import AsyncIterator, Iterator

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from evals.benchmarks.made_up_chunks import CHUNKS_PER_DOCUMENT, DIMENSIONS, LOTS, MadeUpTenant, document_id, load
from ingest.indexing import build_vector_index, tidy
from retrieval.access import Caller, caller
from retrieval.database.generations import Generation
from retrieval.database.store import Store, open_store
from retrieval.domain import DensePath
from retrieval.filters import AllOf, Exists, Filter, Not, OneOf, Within
from retrieval.search import planning
from retrieval.search.filtering import narrow
from retrieval.search.legs import DenseFindings, dense_leg
from retrieval.settings import SearchSettings
from tests.conftest import new_database, on_database

TENANT = MadeUpTenant(rank=1, chunk_count=12_000)
ALL = caller(TENANT.tenant, ["group:seen-1.0"])
SOME = caller(TENANT.tenant, ["group:seen-0.2", "group:topic-0.5"])
FEW = caller(TENANT.tenant, ["group:seen-0.05"])
EVERY_LOT = Within(field="metadata.lot", gte=0)
HALF = Within(field="metadata.lot", lt=LOTS // 2)
HALF_THE_TOPICS = Within(field="metadata.topic", lt=250)
A_FEW_LOTS = OneOf(field="metadata.lot", values=(1, 2, 3, 4))
NO_LOT = Within(field="metadata.lot", gte=LOTS)
NO_PAGES = Exists(field="page")


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    """1,500 documents, 12,000 chunks, with a vector index; a lot and a topic in each one's metadata."""
    for dsn in new_database(server):
        with psycopg.connect(dsn, autocommit=True) as connection:
            register_vector(connection)
            load(connection, TENANT)
        build_vector_index(dsn, TENANT.tenant, Generation(embedder="made-up", dimensions=DIMENSIONS), 0)
        tidy(dsn)
        yield dsn


@pytest.fixture(scope="module")
async def store(database: str) -> AsyncIterator[Store]:
    async with open_store(database, on_database(database).database) as opened:
        yield opened


async def search(
    store: Store, who: Caller, wanted: Filter, at: int = 0, exact_below: int = 500, limit: int = 20
) -> DenseFindings:
    narrowing = await narrow(store, who, wanted)
    options = SearchSettings(candidates=limit, exact_below=exact_below)
    return await dense_leg(store, who, TENANT.questions(at + 1)[at], options, narrowing)


def documents(who: Caller) -> NDArray[np.bool_]:
    seen: NDArray[np.bool_] = np.any([TENANT.allows(name) for name in who.principals - {"everyone"}], axis=0)
    return seen


@pytest.mark.parametrize(
    ("who", "wanted", "path"),
    [
        (ALL, EVERY_LOT, DensePath.INDEX),
        (ALL, HALF, DensePath.INDEX),
        (SOME, EVERY_LOT, DensePath.INDEX),
        (ALL, A_FEW_LOTS, DensePath.EXACT),
        (SOME, A_FEW_LOTS, DensePath.EXACT),
        (FEW, HALF, DensePath.EXACT),
        (FEW, NO_LOT, DensePath.NOTHING),
    ],
)
async def test_what_matches_decides_the_path(
    store: Store, monkeypatch: pytest.MonkeyPatch, who: Caller, wanted: Filter, path: DensePath
) -> None:
    """Few matching chunks are compared, many are walked; where the count is nought, nothing is searched."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    assert (await search(store, who, wanted)).plan.path is path


@pytest.mark.parametrize(("who", "share"), [(ALL, 1.0), (SOME, 1.0), (ALL, 0.5), (SOME, 0.5), (ALL, 0.05)])
async def test_a_sample_tells_how_many_match(
    store: Store, monkeypatch: pytest.MonkeyPatch, who: Caller, share: float
) -> None:
    """The estimate is the sampled share of what is visible; the walk is as much wider as fewer chunks match."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    wanted = Within(field="metadata.lot", lt=share * LOTS)
    plan = (await search(store, who, wanted, exact_below=0)).plan
    truth = (documents(who) & (TENANT.lots < share * LOTS)).sum() * CHUNKS_PER_DOCUMENT
    assert not plan.counted
    assert plan.visible_chunks * share * 0.5 <= plan.matching_chunks <= plan.visible_chunks * share * 1.5 + 1
    assert plan.matching_chunks >= 0.5 * truth
    assert plan.walked == pytest.approx(50 * plan.tenant_chunks / plan.matching_chunks, abs=1)


async def test_a_caller_of_few_documents_is_counted(store: Store) -> None:
    """Where the sample is all there is, the plan's numbers are counts."""
    plan = (await search(store, FEW, HALF)).plan
    seen = documents(FEW)
    matching = (seen & (TENANT.lots < LOTS // 2)).sum() * CHUNKS_PER_DOCUMENT
    assert (plan.visible_chunks, plan.matching_chunks, plan.counted) == (
        seen.sum() * CHUNKS_PER_DOCUMENT,
        matching,
        True,
    )


@pytest.mark.parametrize("wanted", [NO_LOT, NO_PAGES, AllOf(parts=(NO_PAGES, HALF))])
@pytest.mark.parametrize("who", [ALL, FEW])
async def test_a_filter_that_matches_nothing_says_so(store: Store, who: Caller, wanted: Filter) -> None:
    """Nothing is found, no index is walked, and the plan says that nothing matches: by count, never by estimate."""
    found = await search(store, who, wanted)
    assert found.hits == ()
    assert (found.plan.matching_chunks, found.plan.counted) == (0, True)
    assert found.plan.path in {DensePath.NOTHING, DensePath.EXACT}


async def test_a_plan_never_says_less_than_was_found(store: Store) -> None:
    """Where the sample holds nothing of what matches, what was found stands in the plan."""
    for lot in range(30):
        found = await search(store, ALL, OneOf(field="metadata.lot", values=(lot,)), limit=8)
        matching = int((TENANT.lots == lot).sum()) * CHUNKS_PER_DOCUMENT
        assert found.plan.matching_chunks == matching if matching < 8 else found.plan.matching_chunks >= 8


@pytest.mark.parametrize("exact_below", [0, 100_000])
@pytest.mark.parametrize("wanted", [EVERY_LOT, HALF, A_FEW_LOTS, HALF_THE_TOPICS, Not(part=NO_PAGES)])
@pytest.mark.parametrize("who", [ALL, SOME, FEW])
async def test_a_filtered_search_is_never_short(
    store: Store, monkeypatch: pytest.MonkeyPatch, who: Caller, wanted: Filter, exact_below: int
) -> None:
    """On either path, as many chunks come back as are wanted, or all that are visible and match; no other ones."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    found = await search(store, who, wanted, exact_below=exact_below, limit=200)
    matching = {document_id(TENANT, int(at)) for at in np.flatnonzero(documents(who) & lets_through(wanted))}
    assert len(found.hits) == min(200, len(matching) * CHUNKS_PER_DOCUMENT)
    assert {hit.document_id for hit in found.hits} <= matching


def lets_through(wanted: Filter) -> NDArray[np.bool_]:
    passing = {HALF: TENANT.lots < LOTS // 2, A_FEW_LOTS: np.isin(TENANT.lots, (1, 2, 3, 4))}
    return passing.get(wanted, TENANT.topics < 250 if wanted is HALF_THE_TOPICS else TENANT.lots >= 0)


@pytest.mark.parametrize("wanted", [HALF, HALF_THE_TOPICS])
async def test_a_filtered_walk_finds_what_an_exact_scan_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch, wanted: Filter
) -> None:
    """Under a filter that goes with what the texts are about, too, the walk has nearly all of the ten nearest."""
    monkeypatch.setattr(planning, "WALK_COST", 0.0)
    agreed, paths = 0, set()
    for at in range(20):
        exact = await search(store, ALL, wanted, at, exact_below=100_000, limit=10)
        walked = await search(store, ALL, wanted, at, exact_below=0, limit=10)
        assert exact.plan.path is DensePath.EXACT
        paths.add(walked.plan.path)
        agreed += len({hit.key for hit in exact.hits} & {hit.key for hit in walked.hits})
    assert agreed >= 0.95 * 10 * 20
    assert {DensePath.INDEX} <= paths <= {DensePath.INDEX, DensePath.INDEX_COMPLETED}


async def test_a_stray_grant_is_not_counted(store: Store, database: str) -> None:
    """What the plan says is visible is held against the documents' own lists."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO grants SELECT tenant_id, 'group:stray', document_id FROM documents ORDER BY 3 LIMIT 50"
        )
    found = await search(store, caller(TENANT.tenant, ["group:stray"]), EVERY_LOT)
    assert (found.plan.path, found.plan.visible_chunks, found.hits) == (DensePath.NOTHING, 0, ())
