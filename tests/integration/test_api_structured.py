"""JSON answers and tiers over HTTP, on a real database."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from api.app import create_app
from retrieval.generation.gateway import LlmGateway
from retrieval.settings import LlmSettings
from tests.conftest import new_database
from tests.e2e.corpus import Keys, engine_on, fill
from tests.e2e.standing import client_of, events_of
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted as script
from tests.llm_servers.gateways import endpoint
from tests.llm_servers.scripted import scripted_llm

QUESTION = "When does the north gate close?"
QUOTE = "The north gate closes at eight in the evening"
SCHEMA = {"type": "object", "properties": {"hour": {"type": "string"}}, "required": ["hour"]}
GOOD = json.dumps(
    {"citations": [{"passage": 1, "quote": QUOTE}], "unanswerable": False, "answer": {"hour": "eight in the evening"}}
)


def _format(schema: Any = SCHEMA, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "hour", "schema": schema, **more}}


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    for created in new_database(server):
        yield created, fill(created, WordEmbedder(), tmp_path_factory.mktemp("corpus"))


@asynccontextmanager
async def _client(database: tuple[str, Keys], llm: LlmSettings | None) -> AsyncIterator[httpx2.AsyncClient]:
    opened = engine_on(database[0], WordEmbedder(), LlmGateway(llm) if llm else None)
    async with opened as engine, client_of(create_app(engine.settings, engine)) as client:
        client.headers["Authorization"] = f"Bearer {database[1].plain}"
        yield client


async def _asked(client: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    return await client.post("/v1/answers", json={"question": QUESTION, "stream": False, **body})


async def test_a_structured_stream_is_passages_citations_and_the_whole(database: tuple[str, Keys]) -> None:
    """No piece of the JSON goes out before all of it was checked; one body says the same."""
    with scripted_llm(script.answer([GOOD])) as llm:
        async with _client(database, llm.settings()) as client:
            events = events_of((await _asked(client, response_format=_format(), stream=True)).text)
            whole = (await _asked(client, response_format=_format(strict=True))).json()
    assert [name for name, _ in events] == ["passages", "citation", "finished"]
    finished = events[-1][1]
    assert finished["structured"] == whole["structured"] == {"hour": "eight in the evening"}
    assert json.loads(finished["text"]) == finished["structured"]
    assert finished["citations"] == [events[1][1]]
    assert finished["citations"][0]["quote"] == QUOTE
    assert (finished["outcome"], finished["served"]["tier"], finished["served"]["reason"]) == ("answered", None, None)


async def test_an_answer_that_never_fits_is_a_clear_error(database: tuple[str, Keys]) -> None:
    """502 with its own code, and in a stream the error event."""
    with scripted_llm(script.answer(["no JSON"])) as llm:
        async with _client(database, llm.settings()) as client:
            whole = await _asked(client, response_format=_format())
            events = events_of((await _asked(client, response_format=_format(), stream=True)).text)
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "invalid_structured_answer")
    assert [name for name, _ in events] == ["passages", "error"]
    assert events[1][1]["error"]["code"] == "invalid_structured_answer"


async def test_what_the_guard_takes_out_is_not_passed_off_as_fitting(database: tuple[str, Keys]) -> None:
    """A link that may not leave was asked for by the schema: an error, not JSON that does not fit."""
    schema = {"type": "object", "properties": {"hour": {"type": "string", "pattern": "^https://"}}}
    said = json.dumps(json.loads(GOOD) | {"answer": {"hour": "https://evil.example/?closes=eight"}})
    with scripted_llm(script.answer([said])) as llm:
        async with _client(database, llm.settings()) as client:
            refused = await _asked(client, response_format=_format(schema))
            chosen = {"enum": [{"hour": "https://evil.example/?closes=eight"}]}
            allowed = await _asked(client, response_format=_format(chosen))
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "invalid_structured_answer")
    assert allowed.json()["structured"] == chosen["enum"][0]


@pytest.mark.parametrize("fault", [script.status(500), script.cut_midway('{"citations')], ids=str)
async def test_quoting_fills_no_schema(database: tuple[str, Keys], fault: script.Script) -> None:
    """Where the LLM gives way, or there is none, the answer is a declared refusal with the passages."""
    with scripted_llm(fault) as llm:
        for settings in (llm.settings(), None):
            async with _client(database, settings) as client:
                answer = (await _asked(client, response_format=_format())).json()
            assert (answer["outcome"], answer["structured"], answer["text"]) == ("refused", None, "")
            assert answer["degraded"] == ["llm_unavailable"]
            assert answer["passages"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "objekt"}, "$.type"),
        ({"properties": {"hour": {"$ref": "http://example.org"}}}, "$.properties.hour.$ref"),
        ({"properties": {"hour": {"pattern": "(?<=a)b"}}}, "$.properties.hour.pattern"),
        ({"description": "x" * 20_000}, "16000"),
    ],
)
async def test_a_schema_that_will_not_do_is_refused_before_anything_is_asked(
    database: tuple[str, Keys], schema: Any, place: str, stream: bool
) -> None:
    """A clean 422 that names the place, stream or not."""
    with scripted_llm() as llm:
        async with _client(database, llm.settings()) as client:
            response = await _asked(client, response_format=_format(schema), stream=stream)
        assert llm.requests == []
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_response_format")
    assert place in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_object"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "two words", "schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "hour", "schema": [1]}},
        {"type": "json_schema", "json_schema": {"name": "hour"}},
        {"type": "json_schema", "json_schema": {"name": "hour", "schema": {}}, "more": 1},
    ],
)
async def test_the_shape_is_openais(database: tuple[str, Keys], response_format: Any) -> None:
    """Anything else is an invalid request."""
    async with _client(database, None) as client:
        response = await _asked(client, response_format=response_format)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


async def test_the_response_says_which_tier_answered_and_why(database: tuple[str, Keys]) -> None:
    """A simple question at the small one, a comparison at the large one, a failed check on from one to the other."""
    good = script.answer("The north gate closes at eight in the evening [1].")
    with scripted_llm(good, script.answer("It closes when it likes.")) as small, scripted_llm(good) as large:
        ends = (endpoint("s", small, tier="small"), endpoint("l", large, tier="large"))
        async with _client(database, LlmSettings(endpoints=ends, token_timeout=5.0, retries=0)) as client:
            simple = (await _asked(client)).json()
            complex_one = (await _asked(client, question="What is the difference between the gates?")).json()
            escalated = (await _asked(client)).json()
    served = [(each["served"]["tier"], each["served"]["reason"]) for each in (simple, complex_one, escalated)]
    assert served == [("small", "routed_simple"), ("large", "routed_comparison"), ("large", "escalated_no_citation")]
    assert escalated["usage"] == {"prompt_tokens": 22, "completion_tokens": 14, "estimated": False}
    assert escalated["served"]["attempts"] == 2


async def test_a_doubted_answer_gives_way_to_quoting(database: tuple[str, Keys]) -> None:
    """Where the large tier fails as well: not the small model's words, but the documents'."""
    with scripted_llm(script.answer("It closes when it likes.")) as small, scripted_llm(script.status(500)) as large:
        ends = (endpoint("s", small, tier="small"), endpoint("l", large, tier="large"))
        async with _client(database, LlmSettings(endpoints=ends, token_timeout=5.0, retries=0)) as client:
            answer = (await _asked(client)).json()
    assert (answer["answered_by"], answer["degraded"]) == ("extractive", ["llm_unavailable"])
    assert QUOTE in answer["text"]
    assert "when it likes" not in answer["text"]
