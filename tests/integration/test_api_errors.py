"""Everything that can be refused is refused with the same body, and nothing else is told."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from api.authentication import known_key
from retrieval.errors import StoreUnavailable, Unauthenticated
from tests.e2e.standing import GOOD, ScriptedPath, client_of, scripted_app

JSON = {"Content-Type": "application/json"}
LIMIT = 2048


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(scripted_app(ScriptedPath(*GOOD), max_body_bytes=LIMIT)) as client:
        yield client


def _assert_error(response: httpx2.Response, status: int, code: str) -> str:
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "request_id"}
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "question"),
        ({"question": " \n "}, "question"),
        ({"question": "x" * 2001}, "question"),
        ({"question": 7}, "question"),
        ({"question": "a\0b"}, "question"),
        ({"question": "a", "limit": 0}, "limit"),
        ({"question": "a", "limit": 21}, "limit"),
        ({"question": "a", "principals": ["x" * 300]}, "principals"),
        ({"question": "a", "principals": "user:ada"}, "principals"),
        ({"question": "a", "strem": True}, "strem"),
        ({"question": "a", "y" * 1500: 1}, "yyy"),
        ([], "body"),
    ],
)
async def test_an_invalid_request_names_its_fields_and_echoes_little(
    client: httpx2.AsyncClient, body: Any, field: str
) -> None:
    """The message says which field is wrong; what was sent is not sent back."""
    message = _assert_error(await client.post("/v1/answers", json=body), 422, "invalid_request")
    assert field in message
    assert len(message) < 300


@pytest.mark.parametrize(
    "body",
    [b'{"question', b'{"question": "\xff"}', b"[" * 2000, b'{"question": "\\ud800"}', b'"' + b"9" * 1000],
    ids=["cut", "not utf-8", "deep", "surrogate", "unterminated"],
)
async def test_a_body_that_cannot_be_read_is_an_invalid_request(client: httpx2.AsyncClient, body: bytes) -> None:
    """Malformed JSON, wrong bytes, endless nesting and half characters are the caller's to put right."""
    _assert_error(await client.post("/v1/answers", content=body, headers=JSON), 422, "invalid_request")


async def test_a_question_is_stripped_before_it_is_measured(client: httpx2.AsyncClient) -> None:
    """2000 characters are allowed; blanks around them do not count."""
    response = await client.post("/v1/search", json={"question": " " * 9 + "x" * 2001})
    _assert_error(response, 422, "invalid_request")
    assert (await client.post("/v1/answers", json={"question": " " * 9 + "é" * 900})).status_code == 200


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 128):
        yield b" " * 128


async def test_a_body_over_the_limit_is_refused_announced_or_not(client: httpx2.AsyncClient) -> None:
    """With a Content-Length or chunked without one, on a route or beside all routes."""
    too_much = b" " * (LIMIT + 1)
    for response in (
        await client.post("/v1/answers", content=too_much, headers=JSON),
        await client.post("/v1/answers", content=_chunks(LIMIT * 2), headers=JSON),
        await client.post("/nowhere", content=too_much, headers=JSON),
    ):
        _assert_error(response, 413, "body_too_large")
        assert response.headers["connection"] == "close"


async def test_a_body_at_the_limit_is_taken(client: httpx2.AsyncClient) -> None:
    """The limit is the largest size that passes."""
    body = b'{"question": "When?"}'.ljust(LIMIT)
    assert (await client.post("/v1/answers", content=body, headers=JSON)).status_code == 200


async def test_unknown_addresses_and_methods_have_the_same_body(client: httpx2.AsyncClient) -> None:
    """The framework's own refusals look like ours."""
    _assert_error(await client.get("/nowhere"), 404, "not_found")
    _assert_error(await client.get("/static/../app.py"), 404, "not_found")
    _assert_error(await client.post("/v1/answers/", json={"question": "a"}), 404, "not_found")
    response = await client.get("/v1/answers")
    _assert_error(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_an_unexpected_error_tells_nothing_and_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an id; the log has the same id and the whole story."""
    app = scripted_app(ScriptedPath(then=ValueError("the secret detail")))
    async with client_of(app) as client:
        with caplog.at_level(logging.ERROR, "pincite.api"):
            response = await client.post("/v1/answers", json={"question": "a"}, headers={"X-Request-ID": "my-id.7"})
    _assert_error(response, 500, "internal_error")
    assert "secret" not in response.text
    [record] = caplog.records
    assert "my-id.7" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (StoreUnavailable("no database"), "retry-after", "5"),
        (Unauthenticated("no key"), "www-authenticate", 'Bearer realm="pincite"'),
    ],
)
async def test_a_refusal_says_what_to_do_next(error: Exception, header: str, value: str) -> None:
    """A 503 says when to come back, a 401 how to say who you are."""
    async with client_of(scripted_app(ScriptedPath(then=error))) as client:
        response = await client.post("/v1/answers", json={"question": "a"})
    assert response.headers[header] == value


async def test_without_a_key_nothing_else_is_said() -> None:
    """Who has no key learns nothing about what else is wrong with the request."""
    app = scripted_app(ScriptedPath(*GOOD))
    del app.dependency_overrides[known_key]
    async with client_of(app) as client:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
            response = await client.post("/v1/answers", json={"limit": 99}, headers=headers)
            _assert_error(response, 401, "unauthenticated")


@pytest.mark.parametrize("presented", ["abc-1.2_3", "x" * 64])
async def test_a_sane_request_id_is_kept(client: httpx2.AsyncClient, presented: str) -> None:
    """A caller can find its own request in our log."""
    response = await client.get("/livez", headers={"X-Request-ID": presented})
    assert response.headers["x-request-id"] == presented


@pytest.mark.parametrize("presented", ["", "x" * 65, "a b", "a;b", "é"])
async def test_another_request_id_is_replaced(client: httpx2.AsyncClient, presented: str) -> None:
    """Nothing unprintable or endless gets into the log."""
    response = await client.get("/livez", headers=[(b"X-Request-ID", presented.encode())])
    assert response.headers["x-request-id"] not in {presented, ""}


async def test_every_response_carries_the_security_headers(client: httpx2.AsyncClient) -> None:
    """Page, files, API and errors alike: no sniffing, no referrer, no framing, no foreign code, no shared cache."""
    for response in [await client.get(path) for path in ("/", "/static/app.js", "/livez", "/nowhere")]:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] in {"no-store", "no-cache"}
