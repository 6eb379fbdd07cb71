"""The HTTP API over a real database: who gets what."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from api.probe import ReadinessProbe
from retrieval.access import tenant_id
from retrieval.keys import create_key
from tests.conftest import new_database
from tests.e2e.corpus import HOSTILE_SENTENCE, Keys, engine_on, fill
from tests.e2e.standing import client_of, events_of
from tests.fakes import WordEmbedder

GATE = {"question": "When does the north gate close?"}
PRINCIPALS = "X-Pincite-Principals"
PAY = {"question": "What does the director of the observatory earn?"}


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A database with the small corpus, and its keys."""
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def keys(database: tuple[str, Keys]) -> Keys:
    return database[1]


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
async def client(database: tuple[str, Keys], embedder: WordEmbedder) -> AsyncIterator[httpx2.AsyncClient]:
    async with engine_on(database[0], embedder) as engine, client_of(create_app(engine.settings, engine)) as client:
        yield client


def _as(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def _uris(client: httpx2.AsyncClient, key: str, body: dict[str, Any]) -> set[str]:
    response = await client.post("/v1/search", json=body, headers=_as(key))
    assert response.status_code == 200, response.text
    return {passage["uri"].rsplit("/", 1)[-1] for passage in response.json()["passages"]}


async def _pay(client: httpx2.AsyncClient, keys: Keys) -> str:
    """The id of the document that only HR may see."""
    found = (await client.post("/v1/search", json=PAY, headers=_as(keys.hr))).json()["passages"]
    return next(str(passage["document_id"]) for passage in found if passage["uri"].endswith("pay.md"))


async def test_an_answer_cites_the_exact_words_of_a_stored_document(client: httpx2.AsyncClient, keys: Keys) -> None:
    """The quote is the document's text at the citation's offsets, emoji before it or not."""
    answer = await client.post(
        "/v1/answers", json={"question": "When does the harbour café open its doors?"}, headers=_as(keys.plain)
    )
    events = events_of(answer.text)
    citation = next(data for name, data in events if name == "citation")
    document = await client.get(f"/v1/documents/{citation['document_id']}", headers=_as(keys.plain))
    text = document.json()["text"]
    assert document.json()["version"] == citation["version"]
    assert HOSTILE_SENTENCE in citation["quote"]
    assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]


async def test_search_says_where_each_leg_ranked_a_passage(client: httpx2.AsyncClient, keys: Keys) -> None:
    """The ranks of both legs come with every passage, and the stages' times with the response."""
    body = (await client.post("/v1/search", json=GATE | {"limit": 2}, headers=_as(keys.plain))).json()
    best = body["passages"][0]
    assert (best["number"], best["title"], best["dense_rank"], best["lexical_rank"]) == (1, "Gate", 1, 1)
    assert len(body["passages"]) <= 2
    assert {"embed", "lexical", "total"} <= set(body["timings_ms"])


async def test_a_caller_finds_only_what_its_principals_may_see(client: httpx2.AsyncClient, keys: Keys) -> None:
    """The same question finds the pay bands for HR and never for ada."""
    assert "pay.md" in await _uris(client, keys.hr, PAY)
    assert "pay.md" not in await _uris(client, keys.plain, PAY)
    assert "pay.md" not in await _uris(client, keys.speaker, PAY)


async def test_a_key_that_may_speak_for_others_sees_as_they_do(client: httpx2.AsyncClient, keys: Keys) -> None:
    """The key sees what the named principals see; with none it has everyone's view."""
    assert "pay.md" in await _uris(client, keys.speaker, PAY | {"principals": ["group:hr"]})
    assert "pay.md" not in await _uris(client, keys.speaker, PAY | {"principals": ["user:ada"]})
    assert "pay.md" not in await _uris(client, keys.speaker, PAY | {"principals": []})


@pytest.mark.parametrize("principals", [["group:hr"], ["user:ada"], []])
async def test_a_plain_key_may_not_name_principals(
    client: httpx2.AsyncClient, keys: Keys, principals: list[str]
) -> None:
    """Not even its own: whoever sends them believes they are obeyed."""
    for path in ("/v1/search", "/v1/answers"):
        response = await client.post(path, json=PAY | {"principals": principals}, headers=_as(keys.plain))
        assert (response.status_code, response.json()["error"]["code"]) == (403, "access_denied")


async def test_a_malformed_principal_is_an_invalid_request(client: httpx2.AsyncClient, keys: Keys) -> None:
    """It would match nothing; silence would look like an empty index."""
    response = await client.post("/v1/search", json=PAY | {"principals": ["hr"]}, headers=_as(keys.speaker))
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_principal")


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (b"hr", "invalid_principal"),
        (b"group:hr;user:ada x", "invalid_principal"),
        (b"group:" + b"x" * 300, "invalid_request"),
        (b"group:\xff", "invalid_request"),
    ],
)
async def test_a_malformed_principal_in_the_header_is_one_too(
    client: httpx2.AsyncClient, keys: Keys, named: bytes, code: str
) -> None:
    """The header is held to the body's rule."""
    headers = [(b"Authorization", f"Bearer {keys.speaker}".encode()), (PRINCIPALS.encode(), named)]
    response = await client.get(f"/v1/documents/{UUID(int=0)}", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (422, code)


@pytest.mark.parametrize("presented", ["", "pk_", "pk_000000000000_" + "x" * 43, "nonsense", "pk_é"])
async def test_an_unknown_key_opens_nothing(client: httpx2.AsyncClient, presented: str) -> None:
    """One answer for every kind of wrong key."""
    headers = [(b"Authorization", f"Bearer {presented}".encode())]
    response = await client.post("/v1/search", json=GATE, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthenticated")


async def test_a_key_without_the_scope_query_may_not_ask(client: httpx2.AsyncClient, keys: Keys) -> None:
    """Scopes are granted one by one."""
    response = await client.post("/v1/search", json=GATE, headers=_as(keys.mute))
    assert (response.status_code, response.json()["error"]["code"]) == (403, "access_denied")


async def test_a_document_out_of_sight_is_as_absent_as_one_that_never_was(
    client: httpx2.AsyncClient, keys: Keys, database: tuple[str, Keys]
) -> None:
    """The same 404 for hidden, foreign and invented documents."""
    hidden = await _pay(client, keys)
    foreign = create_key(database[0], tenant_id("globex"), "foreign", {"query"}, {"group:hr"})
    bodies = []
    for key, document in ((keys.plain, hidden), (foreign, hidden), (keys.hr, str(UUID(int=0)))):
        response = await client.get(f"/v1/documents/{document}", headers=_as(key))
        assert response.status_code == 404
        bodies.append({name: response.json()["error"][name] for name in ("code", "message")})
    assert bodies[0] == bodies[1] == bodies[2]
    assert (await client.get(f"/v1/documents/{hidden}", headers=_as(keys.hr))).status_code == 200


@pytest.mark.parametrize("asker", ["plain", "hr", "speaker"])
@pytest.mark.parametrize(
    "principals", [None, [], ["user:ada"], ["group:hr"], ["user:ada", "group:hr"], ["user:jörg🎉"]]
)
async def test_reading_and_asking_follow_one_rule(
    client: httpx2.AsyncClient, keys: Keys, asker: str, principals: list[str] | None
) -> None:
    """A document opens exactly when the same key with the same principals finds it."""
    key: str = getattr(keys, asker)
    named = {} if principals is None else {"principals": principals}
    header = [] if principals is None else [(PRINCIPALS.encode(), ", ".join(principals).encode())]
    authorization = (b"Authorization", f"Bearer {key}".encode())
    hidden = await _pay(client, keys)
    asked = await client.post("/v1/search", json=PAY | named, headers=_as(key))
    read = await client.get(f"/v1/documents/{hidden}", headers=[authorization, *header])
    if asked.status_code == 200:
        finds = hidden in {passage["document_id"] for passage in asked.json()["passages"]}
        assert read.status_code == (200 if finds else 404)
    else:
        assert (asked.status_code, read.status_code) == (403, 403)


async def test_a_key_that_may_speak_for_others_never_lends_its_own_principals(
    client: httpx2.AsyncClient, keys: Keys
) -> None:
    """Named in no way, in an empty header or in the address: the service's own documents stay closed."""
    url = f"/v1/documents/{await _pay(client, keys)}"
    for address, header in ((url, {}), (url, {PRINCIPALS: ""}), (f"{url}?principals=group:hr", {})):
        assert (await client.get(address, headers=_as(keys.speaker) | header)).status_code == 404
    assert (await client.get(url, headers=_as(keys.speaker) | {PRINCIPALS: "user:a,, group:hr"})).status_code == 200
    assert (await client.get(url, headers=_as(keys.plain) | {PRINCIPALS: ""})).status_code == 403


async def test_a_dead_embedder_degrades_and_says_so(
    client: httpx2.AsyncClient, keys: Keys, embedder: WordEmbedder
) -> None:
    """Search by words goes on; the response names what gave way; the service stays ready."""
    embedder.broken = True
    body = (await client.post("/v1/search", json=GATE, headers=_as(keys.plain))).json()
    assert body["degraded"] == ["embedder_unavailable"]
    assert body["passages"][0]["title"] == "Gate"
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["parts"]["embedder"]["state"]) == (200, "unavailable")
    assert ready.json()["parts"]["embedder"] == {"state": "unavailable"}


async def test_without_its_database_the_service_lives_and_is_not_ready(
    server: str, tmp_path: Path, embedder: WordEmbedder
) -> None:
    """/livez looks at nothing, /readyz turns 503 with Retry-After, a question is a clean 503."""
    databases = new_database(server)
    dsn = next(databases)
    keys = fill(dsn, embedder, tmp_path)
    async with engine_on(dsn, embedder) as engine, client_of(app := create_app(engine.settings, engine)) as client:
        assert (await client.get("/readyz")).json()["ready"] is True
        assert list(databases) == []  # dropped, connections and all
        app.state.probe = ReadinessProbe()  # the first result would be kept a while
        question = await client.post("/v1/answers", json=GATE, headers=_as(keys.plain))
        ready = await client.get("/readyz")
        assert (await client.get("/livez")).status_code == 200
    assert (question.status_code, question.json()["error"]["code"]) == (503, "store_unavailable")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")
    assert ready.json()["parts"]["database"] == {"state": "unavailable"}
