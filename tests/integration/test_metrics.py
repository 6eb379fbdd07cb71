"""Metrics: what the service did is counted, by route, plan and outcome, and nothing of a tenant is told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from retrieval.engine import Engine
from retrieval.settings import ApiSettings, EmbedderSettings
from retrieval.telemetry import Telemetry
from tests.conftest import new_database, on_database
from tests.e2e.corpus import Keys, engine_on, fill
from tests.e2e.standing import ScriptedPath, client_of, scripted_app
from tests.fakes import WordEmbedder

GATE = {"question": "When does the north gate close?", "stream": False}
SEARCH = {"question": "When does the north gate close?"}
Counted = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A database with the small corpus, and its keys."""
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def keys(database: tuple[str, Keys]) -> Keys:
    return database[1]


@pytest.fixture
async def engine(database: tuple[str, Keys], words: WordEmbedder) -> AsyncIterator[Engine]:
    async with engine_on(database[0], words) as opened:
        yield opened


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(engine.settings, engine)) as client:
        yield client


def _as(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def counted(client: httpx2.AsyncClient) -> Counted:
    """Every sample that is not zero, by its name and its labels' values."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.value
    }


async def test_a_search_is_counted_by_its_plan_and_stages(client: httpx2.AsyncClient, keys: Keys) -> None:
    """Which path it took, what it was planned on and how long each leg took."""
    found = (await client.post("/v1/search", json=SEARCH, headers=_as(keys.plain))).json()
    samples = await counted(client)
    assert samples["pincite_search_plans_total", "exact"] == 1
    assert 10 < found["plan"]["visible_chunks"] < 100
    assert samples["pincite_search_visible_chunks_sum",] == 100
    assert samples["pincite_search_rows_examined_sum", "dense"] == 100
    assert samples["pincite_search_rows_examined_sum", "lexical"] >= 1
    for stage, milliseconds in found["timings_ms"].items():
        assert samples["pincite_search_stage_seconds_sum", stage] == pytest.approx(milliseconds / 1000)
    assert {"embed", "dense", "lexical", "fuse", "rerank", "join", "total"} == set(found["timings_ms"])


async def test_an_answer_is_counted_by_its_outcome(client: httpx2.AsyncClient, keys: Keys) -> None:
    """Answered and refused are told apart; each is one response of its route."""
    for question in ("When does the north gate close in the evening?", "Zebras?"):
        assert (
            await client.post("/v1/answers", json=GATE | {"question": question}, headers=_as(keys.plain))
        ).status_code == 200
    samples = await counted(client)
    assert (samples["pincite_answers_total", "answered"], samples["pincite_answers_total", "refused"]) == (1, 1)
    assert samples["pincite_http_requests_total", "/v1/answers", "200"] == 2


async def test_a_degradation_is_counted_once(client: httpx2.AsyncClient, keys: Keys, words: WordEmbedder) -> None:
    """By its code; an answer does not count again what its search has counted. No search by meaning has no path."""
    words.broken = True
    await client.post("/v1/answers", json=GATE, headers=_as(keys.plain))
    samples = await counted(client)
    assert samples["pincite_degradations_total", "embedder_unavailable"] == 1
    assert samples["pincite_search_plans_total", "none"] == 1


async def test_every_counter_is_there_before_it_first_counts(client: httpx2.AsyncClient) -> None:
    """An alert on an increase sees the first one."""
    text = (await client.get("/metrics")).text
    for line in (
        'pincite_search_plans_total{path="index_completed"} 0.0',
        'pincite_degradations_total{code="llm_unavailable"} 0.0',
        'pincite_answers_total{outcome="failed"} 0.0',
        'pincite_shadow_searches_total{outcome="dropped"} 0.0',
    ):
        assert line in text


async def test_responses_are_counted_by_the_routes_template(client: httpx2.AsyncClient, keys: Keys) -> None:
    """Neither ids nor addresses that anybody may make up become labels; refusals count as well."""
    for number in range(3):
        await client.get(f"/v1/documents/{UUID(int=number)}", headers=_as(keys.plain))
        await client.get(f"/nowhere/{number}")
        await client.request("BREW", "/v1/search")
    await client.post("/v1/search", content=b" " * 100_000, headers=_as(keys.plain))
    samples = await counted(client)
    requests = {key[1:]: value for key, value in samples.items() if key[0] == "pincite_http_requests_total"}
    assert requests == {
        ("/v1/documents/{document_id}", "404"): 3,
        ("none", "404"): 3,
        ("/v1/search", "405"): 3,
        ("none", "413"): 1,
    }


async def test_the_metrics_hold_nothing_of_a_tenant(client: httpx2.AsyncClient, keys: Keys) -> None:
    """Whoever can reach the port reads them: no tenant, principal, document or word is in them."""
    asked = {"question": "What does the director earn?", "principals": ["group:hr", "user:zaphod"]}
    found = (await client.post("/v1/search", json=asked, headers=_as(keys.speaker))).json()
    await client.get(f"/v1/documents/{found['passages'][0]['document_id']}?who=zaphod", headers=_as(keys.plain))
    text = (await client.get("/metrics")).text.lower()
    told = ["acme", "zaphod", "group:", "director", "pay.md", found["passages"][0]["document_id"]]
    assert [word for word in told if word in text] == []


async def test_metrics_can_be_closed(engine: Engine) -> None:
    """PINCITE_API_METRICS=false: there is nothing at this address."""
    settings = replace(engine.settings, api=ApiSettings(metrics=False))
    async with client_of(create_app(settings, engine)) as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_two_services_in_one_process_count_apart() -> None:
    """No metric is global."""
    async with client_of(scripted_app(ScriptedPath())) as one, client_of(scripted_app(ScriptedPath())) as other:
        await one.get("/livez")
        assert (await counted(one))["pincite_http_requests_total", "/livez", "200"] == 1
        assert ("pincite_http_requests_total", "/livez", "200") not in await counted(other)


async def test_an_app_with_an_engine_of_its_own_counts_its_searches(database: tuple[str, Keys]) -> None:
    """What the engine counts is what the app shows."""
    dead = EmbedderSettings(provider="openai", model=WordEmbedder.name, base_url="http://127.0.0.1:9/v1")
    app = create_app(replace(on_database(database[0]), embedder=dead))
    async with app.router.lifespan_context(app), client_of(app) as client:
        await client.post("/v1/search", json=SEARCH, headers=_as(database[1].plain))
        assert (await counted(client))["pincite_search_stage_seconds_count", "total"] == 1


def test_label_values_are_known_in_advance() -> None:
    """Before anything happened only routes, stages, legs and models are open: names in our code and our settings."""
    families = text_string_to_metric_families(Telemetry().exposition().decode())
    empty = {family.name for family in families if family.name.startswith("pincite") and not family.samples}
    assert empty == {
        "pincite_search_stage_seconds",
        "pincite_search_rows_examined",
        "pincite_http_requests",
        "pincite_shadow_recall",
        "pincite_llm_cost_usd",
        "pincite_tool_steps",
    }
