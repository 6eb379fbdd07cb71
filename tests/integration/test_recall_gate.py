"""Recall, gated: a small grid of tenants and visibilities, every search held against numpy. Never a timing."""

from collections.abc import Iterator, Sequence

import numpy as np
import psycopg
import pytest

from evals.benchmarks.made_up_chunks import MadeUpTenant
from evals.benchmarks.measuring import Bench
from evals.benchmarks.search_grid import Cell, measure, prepare
from retrieval.access import caller
from retrieval.database.store import open_store
from retrieval.domain import DensePath, DensePlan
from retrieval.search import planning
from retrieval.search.legs import dense_leg
from retrieval.search.planning import vector_index_name
from retrieval.settings import SearchSettings
from tests.conftest import new_database, on_database

TENANTS = tuple(
    MadeUpTenant(rank=rank, chunk_count=chunks) for rank, chunks in enumerate((14_000, 7_000, 1_500, 90), start=1)
)
QUESTIONS = 10


@pytest.fixture(scope="module")
def bench(server: str) -> Iterator[Bench]:
    """Four tenants, two of them large enough for a vector index. Tests put back what they change."""
    for dsn in new_database(server):
        made = Bench(dsn=dsn, settings=on_database(dsn).database.model_copy(update={"database_pool_size": 1}))
        prepare(made, TENANTS)
        yield made


def hold(cells: Sequence[Cell]) -> None:
    """The gate: recall@10 on the mean and in the worst cell, and no result too few."""
    recalls = [float(np.mean(cell.recalls)) for cell in cells]
    assert np.mean(recalls) >= 0.999
    assert min(recalls) >= 0.99
    assert sum(cell.short for cell in cells) == 0


async def plan(bench: Bench, group: str) -> DensePlan:
    """How the first question of the largest tenant is answered."""
    tenant = TENANTS[0]
    async with open_store(bench.dsn, bench.settings) as store:
        who = caller(tenant.tenant, (group,))
        return (await dense_leg(store, who, tenant.questions(1)[0], SearchSettings(candidates=10))).plan


async def test_every_cell_finds_what_is_nearest(bench: Bench) -> None:
    """From 0.1 to 100 % visible, at random and by topic: recall@10 ≥ .999, in the worst cell ≥ .99, never short."""
    hold(await measure(bench, TENANTS, QUESTIONS, ["service"]))
    assert (await plan(bench, "group:seen-1.0")).path is DensePath.INDEX


async def test_walks_are_held_to_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the planner believes that walking is cheap and walks whatever it can."""
    monkeypatch.setattr(planning, "WALK_COST", 5.0)
    monkeypatch.setenv("PINCITE_SEARCH_EXACT_BELOW", "500")
    hold(await measure(bench, TENANTS[:2], QUESTIONS, ["service"]))
    walked = {(await plan(bench, f"group:{kind}-0.5")).path for kind in ("seen", "topic")}
    assert walked <= {DensePath.INDEX, DensePath.INDEX_COMPLETED}


@pytest.mark.parametrize("factor", [10.0, 0.1])
async def test_stale_statistics_cost_time_not_results(bench: Bench, factor: float) -> None:
    """Counts ten times too high or too low may send a search the dearer way; it finds the same."""
    with psycopg.connect(bench.dsn) as connection:
        connection.execute("CREATE TABLE right_statistics AS SELECT * FROM principal_statistics")
        connection.execute(
            "UPDATE principal_statistics SET chunk_count = greatest(1, round(chunk_count * %s::float8))", [factor]
        )
    try:
        hold(await measure(bench, TENANTS[:2], QUESTIONS, ["service"]))
    finally:
        with psycopg.connect(bench.dsn) as connection:
            connection.execute("DELETE FROM principal_statistics")
            connection.execute("INSERT INTO principal_statistics SELECT * FROM right_statistics")
            connection.execute("DROP TABLE right_statistics")


async def test_without_a_valid_index_all_is_compared(bench: Bench) -> None:
    """While an index is built, or its build was killed, searches compare every visible chunk, and the plan says so."""
    name = vector_index_name(TENANTS[0].tenant)
    validity = "UPDATE pg_index SET indisvalid = %s WHERE indexrelid = %s::regclass"
    with psycopg.connect(bench.dsn) as connection:
        connection.execute(validity, [False, name])
    try:
        found = await plan(bench, "group:seen-1.0")
        assert (found.path, found.indexed) == (DensePath.EXACT, False)
        assert all(
            min(cell.recalls) == 1
            for cell in await measure(bench, TENANTS[:1], QUESTIONS, ["service"], ["group:seen-1.0"])
        )
    finally:
        with psycopg.connect(bench.dsn) as connection:
            connection.execute(validity, [True, name])


async def test_without_an_index_all_is_compared(bench: Bench) -> None:
    """A tenant that has no index is compared, and the plan says so."""
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute(f"DROP INDEX {vector_index_name(TENANTS[0].tenant)}")
    found = await plan(bench, "group:seen-1.0")
    assert (found.path, found.indexed) == (DensePath.EXACT, False)
    hold(await measure(bench, TENANTS[:1], QUESTIONS, ["service"]))
