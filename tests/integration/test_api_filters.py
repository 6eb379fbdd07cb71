"""Filters over HTTP and on the command line: the same search, the same complaints."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from api.app import create_app
from ingest.sources import Request
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.conftest import ingest_folder, new_database
from tests.e2e.corpus import engine_on
from tests.e2e.standing import client_of, events_of
from tests.fakes import WordEmbedder

REPORTS = {"a": ("finance", 2024), "b": ("finance", 2025), "c": ("hr", 2025)}


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three reports of two departments."""
    folder = tmp_path_factory.mktemp("reports")
    for name, (department, year) in REPORTS.items():
        (folder / f"{name}.md").write_text(f"# Report\n\n## Pumps {name}\n\nThe pump is checked every week.\n")
        lines = {"path": f"{name}.md", "metadata": {"department": department, "year": year, "due": f"{year}-06-01"}}
        with (folder / "manifest.jsonl").open("a") as manifest:
            manifest.write(json.dumps(lines) + "\n")
    for dsn in new_database(server):
        request = Request(manifest=folder / "manifest.jsonl", acl=frozenset({"everyone"}), prefix="reports")
        ingest_folder(dsn, WordEmbedder(), "acme", request)
        yield dsn


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    key = create_key(database, tenant_id("acme"), "k", {"query"}, {"user:ada"})
    async with engine_on(database, WordEmbedder()) as engine, client_of(create_app(engine.settings, engine)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


async def search(client: httpx2.AsyncClient, wanted: object) -> httpx2.Response:
    return await client.post("/v1/search", json={"question": "Which pump is checked?", "filter": wanted})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "abc"),
        ({"field": "metadata.department", "eq": "finance"}, "ab"),
        ({"field": "metadata.year", "in": [2025, 2026]}, "bc"),
        ({"field": "metadata.due", "range": {"gt": "2024-06-01", "lte": "2025-06-01"}}, "bc"),
        ({"not": {"field": "metadata.year", "range": {"lt": 2025}}}, "bc"),
        ({"field": "section", "prefix": "Pumps c"}, "c"),
        ({"and": [{"field": "uri", "prefix": "reports/"}, {"field": "metadata.department", "eq": "hr"}]}, "c"),
        ({"field": "page", "exists": True}, ""),
    ],
)
async def test_a_search_takes_a_filter(client: httpx2.AsyncClient, wanted: object, found: str) -> None:
    """Only passages that match come back, and the plan says how many there are."""
    body = (await search(client, wanted)).json()
    assert "".join(sorted(passage["uri"][-4] for passage in body["passages"])) == found
    assert (body["plan"]["visible_chunks"], body["plan"]["matching_chunks"]) == (3, len(found))


async def test_a_filter_that_matches_nothing_is_an_empty_answer(client: httpx2.AsyncClient) -> None:
    """Nothing matches: an empty search whose plan says so, and an answer that is refused, not an error."""
    nothing = {"field": "metadata.year", "eq": 1999}
    body = (await search(client, nothing)).json()
    assert (body["passages"], body["confidence"], body["plan"]["path"]) == ([], 0, "nothing")
    response = await client.post("/v1/answers", json={"question": "Which pump?", "filter": nothing, "stream": False})
    assert (response.status_code, response.json()["outcome"]) == (200, "refused")


async def test_an_answer_takes_a_filter(client: httpx2.AsyncClient) -> None:
    """A streamed answer is quoted from documents that match."""
    wanted = {"field": "metadata.department", "eq": "hr"}
    response = await client.post("/v1/answers", json={"question": "Which pump is checked?", "filter": wanted})
    _, first = events_of(response.text)[0]
    assert {passage["uri"] for passage in first["passages"]} == {"reports/c.md"}


@pytest.mark.parametrize("address", ["/v1/search", "/v1/answers"])
@pytest.mark.parametrize(
    ("wanted", "code", "named"),
    [
        ({"field": "metadata.colour", "eq": "red"}, "invalid_filter", "metadata.colour: unknown field"),
        ({"field": "metadata.year", "eq": "2025"}, "invalid_filter", "metadata.year: holds number"),
        ({"field": "metadata.due", "range": {"gt": 3}}, "invalid_filter", "metadata.due: holds date and text"),
        ({"field": "metadata.due", "range": {"gt": "soon"}}, "invalid_filter", "metadata.due: 'range' takes"),
        ({"field": "metadata.year", "range": {}}, "invalid_filter", "metadata.year: 'range' wants"),
        ({"field": "acl", "exists": True}, "invalid_filter", "acl: unknown field"),
        ({"field": "uri", "prefix": "\0"}, "invalid_filter", "uri: holds characters"),
        ({"and": [{"field": "uri", "equals": "a"}]}, "invalid_request", "filter.and.0.equals: "),
        ({"field": "uri", "in": ["a"] * 201}, "invalid_request", "filter.in: "),
        ("metadata.year = 2025", "invalid_request", "filter: "),
    ],
)
async def test_a_filter_that_makes_no_sense_is_a_422(
    client: httpx2.AsyncClient, address: str, wanted: object, code: str, named: str
) -> None:
    """The one error body, before anything is streamed, with the field or the place named."""
    response = await client.post(address, json={"question": "Which pump?", "filter": wanted})
    error: dict[str, Any] = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, code)
    assert named in error["message"]


@pytest.mark.parametrize("depth", [20, 500, 5_000])
async def test_a_deeply_nested_filter_is_a_422(client: httpx2.AsyncClient, depth: int) -> None:
    """However deep: refused in a moment, with a short message."""
    nested = '{"not":' * depth + '{"field":"uri","eq":"a"}' + "}" * depth
    content = f'{{"question": "Which pump?", "filter": {nested}}}'
    response = await client.post("/v1/search", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, len(response.text) < 500) == (422, True)


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ('{"field": "metadata.colour", "eq": "red"}', "invalid_filter: metadata.colour: unknown field"),
        ('{"field": "metadata.year", "prefix": "20"}', "invalid_filter: metadata.year: holds number"),
        ('{"field": "uri"', "invalid_filter: filter: Invalid JSON"),
    ],
)
def test_the_command_line_says_the_same(database: str, wanted: str, complaint: str) -> None:
    """`pincite ask --filter` ends with exit code 2 and one line that names the field."""
    environment = {
        **os.environ,
        "PINCITE_DATABASE_URL": database,
        "PINCITE_EMBEDDER_PROVIDER": "openai",
        "PINCITE_EMBEDDER_MODEL": WordEmbedder.name,
        "PINCITE_EMBEDDER_BASE_URL": "http://127.0.0.1:1",
        "PINCITE_EMBEDDER_TOKENIZER": "none",
    }
    command = [sys.executable, "-c", "from pincite import main; main()", "ask", "Which pump?", "--tenant", "acme"]
    ended = subprocess.run(
        [*command, "--filter", wanted], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in ended.stderr
