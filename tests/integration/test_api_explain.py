"""Explanations over HTTP and on the command line: for whom, and what they never tell."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.conftest import new_database
from tests.e2e.corpus import TENANT, Keys, engine_on, fill
from tests.e2e.standing import client_of
from tests.fakes import WordEmbedder

PAY = {"question": "What does the director of the observatory earn?"}
EXPLAINED = PAY | {"explain": True}
HIDDEN = "secret/pay.md"
ABSENT = "secret/nothing.md"


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Keys]]:
    """A database with the small corpus, and its keys."""
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def keys(database: tuple[str, Keys]) -> dict[str, str]:
    """A key for each scope, all of ada's but for `speaker`, which may also speak for others, and `foreign`."""
    tenant = tenant_id(TENANT)
    scopes = {"plain": set[str](), "explain": {"explain"}, "admin": {"admin"}, "speaker": {"explain", "act_as"}}
    made = {
        name: create_key(database[0], tenant, name, {"query"} | more, {"user:ada"}) for name, more in scopes.items()
    }
    return made | {"foreign": create_key(database[0], tenant_id("globex"), "f", {"query", "admin"}, {"group:hr"})}


@pytest.fixture
async def client(database: tuple[str, Keys]) -> AsyncIterator[httpx2.AsyncClient]:
    async with engine_on(database[0], WordEmbedder()) as engine, client_of(create_app(engine.settings, engine)) as http:
        yield http


async def ask(client: httpx2.AsyncClient, key: str, body: dict[str, Any]) -> httpx2.Response:
    return await client.post("/v1/search", json=body, headers={"Authorization": f"Bearer {key}"})


async def verdict(client: httpx2.AsyncClient, key: str, named: str, **more: Any) -> str:
    response = await ask(client, key, EXPLAINED | {"document": named} | more)
    assert response.status_code == 200, response.text
    return str(response.json()["explain"]["document"]["verdict"])


async def hidden_id(client: httpx2.AsyncClient, keys: dict[str, str]) -> str:
    found = await ask(client, keys["speaker"], PAY | {"principals": ["group:hr"]})
    return next(str(each["document_id"]) for each in found.json()["passages"] if each["uri"] == HIDDEN)


async def test_without_the_scope_there_is_no_explanation(client: httpx2.AsyncClient, keys: dict[str, str]) -> None:
    """The refusal names the scope, whatever is asked about; a search without an explanation goes on."""
    for body in (EXPLAINED, EXPLAINED | {"document": HIDDEN}, EXPLAINED | {"document": ABSENT}):
        refused = await ask(client, keys["plain"], body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "access_denied")
        assert "scope: explain" in refused.json()["error"]["message"]
    found = await ask(client, keys["plain"], PAY | {"explain": False})
    assert found.status_code == 200
    assert "explain" not in found.json()


async def test_an_explanation_has_the_plan_both_legs_and_the_times(
    client: httpx2.AsyncClient, keys: dict[str, str]
) -> None:
    """Exact where an ordinary response is rounded, and of the same passages."""
    ordinary = (await ask(client, keys["explain"], PAY)).json()
    body = (await ask(client, keys["explain"], EXPLAINED)).json()
    explained = body["explain"]
    assert body["passages"] == ordinary["passages"]
    assert [each["document_id"] for each in explained["passages"]] == [each["document_id"] for each in body["passages"]]
    places = [each["place"] for each in explained["passages"]]
    assert places == sorted(places)
    assert [round(each["score"], 2) for each in explained["passages"]] == [each["score"] for each in body["passages"]]
    plan = explained["dense"]["plan"]
    assert (plan["path"], plan["visible_chunks"]) == (body["plan"]["path"], body["plan"]["visible_chunks"])
    assert explained["dense"]["examined"]["rows"] >= plan["visible_chunks"]
    assert "director" in {word["word"] for word in explained["lexical"]["words"]}
    assert {"dense", "lexical", "fuse", "rerank", "total"} <= set(body["timings_ms"])
    assert explained["document"] is None


@pytest.mark.parametrize("key", ["explain", "speaker", "admin", "foreign"])
async def test_explanations_list_only_what_the_asker_may_see(
    client: httpx2.AsyncClient, keys: dict[str, str], key: str
) -> None:
    """No scope widens a search: pay.md is in no candidate of anyone but HR's."""
    response = await ask(client, keys[key], EXPLAINED | {"document": HIDDEN})
    assert response.status_code == 200
    told = response.json()
    assert HIDDEN not in json.dumps(told["passages"])
    assert HIDDEN not in json.dumps(told["explain"]["passages"])
    assert told["explain"]["document"]["candidates"] == []


async def test_out_of_sight_and_absent_are_told_alike(client: httpx2.AsyncClient, keys: dict[str, str]) -> None:
    """By uri or id, the two answers differ in nothing but the name that was asked for, an id, and times."""
    hidden = await hidden_id(client, keys)
    for key in ("explain", "speaker", "foreign"):
        told = []
        for named in (HIDDEN, hidden, ABSENT, str(UUID(int=0))):
            body = (await ask(client, keys[key], EXPLAINED | {"document": named})).json()
            assert body["explain"]["document"].pop("named") == named
            for leg in ("dense", "lexical"):  # a page of the catalogue may be in a connection's cache, or not yet
                body["explain"][leg]["examined"]["pages"] = 0
            told.append(body | {"request_id": "", "timings_ms": {}})
        assert told[0]["explain"]["document"]["verdict"] == "not_found"
        assert told[0] == told[1] == told[2] == told[3]


async def test_only_an_admin_key_is_told_what_is_not_visible(client: httpx2.AsyncClient, keys: dict[str, str]) -> None:
    """Of its own tenant; and whoever may see the document is told where it stands."""
    assert await verdict(client, keys["admin"], HIDDEN) == "not_visible"
    assert await verdict(client, keys["admin"], await hidden_id(client, keys)) == "not_visible"
    assert await verdict(client, keys["admin"], ABSENT) == "not_found"
    assert await verdict(client, keys["foreign"], HIDDEN) == "not_found"
    assert await verdict(client, keys["speaker"], HIDDEN, principals=["group:hr"]) == "found"


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"document": HIDDEN}, "explain"),
        ({"explain": True, "document": ""}, "document"),
        ({"explain": True, "document": "x" * 601}, "document"),
        ({"explain": True, "document": "a\0b"}, "NUL"),
        ({"explain": "perhaps"}, "explain"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    client: httpx2.AsyncClient, keys: dict[str, str], extra: dict[str, Any], word: str
) -> None:
    """The message names the field."""
    refused = await ask(client, keys["admin"], PAY | extra)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")
    assert word in refused.json()["error"]["message"]


@pytest.mark.parametrize("named", ["' OR 1=1 --", "%", "\U0001f40b", "00000000-0000-0000-0000-00000000000g", "\u202e"])
async def test_a_strange_name_names_nothing(client: httpx2.AsyncClient, keys: dict[str, str], named: str) -> None:
    """Neither a pattern nor SQL."""
    assert await verdict(client, keys["admin"], named) == "not_found"


async def test_a_lone_surrogate_in_a_name_is_a_clean_error(client: httpx2.AsyncClient, keys: dict[str, str]) -> None:
    """JSON can write what is no text."""
    raw = json.dumps(EXPLAINED | {"document": "\ud800"}).encode()
    headers = {"Authorization": f"Bearer {keys['admin']}", "Content-Type": "application/json"}
    assert (await client.post("/v1/search", content=raw, headers=headers)).status_code == 422


async def test_answers_are_not_explained(client: httpx2.AsyncClient, keys: dict[str, str]) -> None:
    """Explaining belongs to searching."""
    headers = {"Authorization": f"Bearer {keys['admin']}"}
    assert (await client.post("/v1/answers", json=EXPLAINED, headers=headers)).status_code == 422


def run(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pincite explain` as a process, its embedder dead: explained by words alone."""
    environment = {
        **os.environ,
        "PINCITE_DATABASE_URL": dsn,
        "PINCITE_EMBEDDER_PROVIDER": "openai",
        "PINCITE_EMBEDDER_MODEL": WordEmbedder.name,
        "PINCITE_EMBEDDER_BASE_URL": "http://127.0.0.1:9/v1",
        "COLUMNS": "160",
    }
    command = [sys.executable, "-c", "from pincite import main; main()", "explain", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_prints_a_readable_explanation(database: tuple[str, Keys]) -> None:
    """Passages, legs, words, times, and why the named document was not found; what stands in names is not markup."""
    done = run(database[0], PAY["question"], "--tenant", TENANT, "--as", "user:ada", "--document", HIDDEN)
    assert done.returncode == 0, done.stderr
    for line in ("passages (at most 8)", "by meaning: not searched", "by words: ", "director", "lexical "):
        assert line in done.stdout
    assert "degraded: embedder_unavailable" in done.stdout
    assert f"{HIDDEN}: it is there, but none of these principals may see it" in done.stdout


def test_the_command_can_speak_json(database: tuple[str, Keys]) -> None:
    """The whole explanation, with where a visible document stands in each leg."""
    arguments = [PAY["question"], "--tenant", TENANT, "--as", "group:hr", "--document", HIDDEN, "--json"]
    told = json.loads(run(database[0], *arguments).stdout)
    assert told["document"]["verdict"] == "found"
    assert told["document"]["lexical"]["rank"] == 1
    assert told["retrieval"]["passages"][0]["passage"]["uri"] == HIDDEN


def test_the_command_says_what_it_takes(database: tuple[str, Keys]) -> None:
    """--help names every option; a wrong principal is one line and exit code 2."""
    helped = run(database[0], "--help").stdout
    assert [option for option in ("--tenant", "--as", "--limit", "--document", "--json") if option not in helped] == []
    wrong = run(database[0], "Why?", "--tenant", TENANT, "--as", "nonsense")
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (2, 1)
