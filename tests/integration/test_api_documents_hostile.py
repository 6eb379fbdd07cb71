"""What cannot be taken is refused before anything of it is kept, and the message says what is wrong with it."""

import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conftest import new_database
from tests.handing_in import Desk, open_desk
from tests.queues import PUMP, rows

LARGEST = 4096
GOOD: dict[str, Any] = {"uri": "a", "text": PUMP, "allow": ["everyone"]}
JSON = {"Content-Type": "application/json"}
BOUNDARY = "x7"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def empty(server: str) -> Iterator[str]:
    yield from new_database(server)


@pytest.fixture
async def desk(empty: str) -> AsyncIterator[Desk]:
    """Nothing was kept when the test is over."""
    async with open_desk(empty, max_file_bytes=LARGEST) as opened:
        yield opened
    assert rows(empty, "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM uploads)") == [(0, 0)]


def without(name: str) -> dict[str, Any]:
    return {field: value for field, value in GOOD.items() if field != name}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (without("allow"), "allow"),
        (GOOD | {"allow": []}, "allow"),
        (GOOD | {"allow": None}, "allow"),
        (GOOD | {"allow": ["hr"]}, "allow.0"),
        (GOOD | {"allow": ["everyone", "nobody"]}, "allow.1"),
        (GOOD | {"allow": ["group:a b"]}, "allow.0"),
        (GOOD | {"allow": ["user:x"] * 501}, "allow"),
        (without("uri"), "uri"),
        (GOOD | {"uri": ""}, "uri"),
        (GOOD | {"uri": "x" * 601}, "uri"),
        (GOOD | {"uri": "a\0b"}, "uri"),
        (GOOD | {"file_name": ".."}, "file_name"),
        (GOOD | {"file_name": "../../etc/passwd"}, "file_name"),
        (GOOD | {"file_name": "a\\b.txt"}, "file_name"),
        (GOOD | {"file_name": "a\0.txt"}, "file_name"),
        (GOOD | {"file_name": "é" * 150 + ".txt"}, "file_name"),
        (GOOD | {"title": ""}, "title"),
        (GOOD | {"title": "a\0"}, "title"),
        (GOOD | {"title": "x" * 1001}, "title"),
        (GOOD | {"language": "klingon"}, "language"),
        (GOOD | {"metadata": {"a": "x" * 40_000}}, "metadata"),
        (GOOD | {"metadata": {"a": {"b": 1}}}, "metadata"),
        (GOOD | {"metadata": {"a": None}}, "metadata"),
        (GOOD | {"metadata": {"a": "\0"}}, "metadata"),
        (GOOD | {"metadata": {"\0": "a"}}, "metadata"),
        (GOOD | {"metadata": [1]}, "metadata"),
        (GOOD | {"tenant": "globex"}, "tenant"),
        (GOOD | {"content_base64": "YQ=="}, "one of"),
        (without("text"), "one of"),
        (GOOD | {"text": ""}, "text"),
        (without("text") | {"content_base64": ""}, "content_base64"),
        (without("text") | {"content_base64": "Y"}, "content_base64"),
        (without("text") | {"content_base64": "Y Q=="}, "content_base64"),
        (without("text") | {"content_base64": "YQ==YQ=="}, "content_base64"),
        (without("text") | {"content_base64": "é==="}, "content_base64"),
        (without("text") | {"content_base64": 7}, "content_base64"),
        ([GOOD], "body"),
    ],
)
async def test_what_is_wrong_with_a_document_is_named(desk: Desk, body: Any, field: str) -> None:
    """In a document by itself, and in a batch with its place in it."""
    alone = await desk.manager.put("/v1/documents", json=body)
    assert (alone.status_code, alone.json()["error"]["code"]) == (422, "invalid_request"), alone.text
    assert field in alone.json()["error"]["message"]
    batch = await desk.manager.post("/v1/documents/batch", json={"documents": [GOOD | {"uri": "other"}, body]})
    assert (batch.status_code, batch.json()["error"]["code"]) == (422, "invalid_request")
    assert "documents.1" in batch.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (GOOD | {"content_type": "application/x-tar"}, 415, "unsupported_format"),
        (GOOD | {"file_name": "a.exe"}, 415, "unsupported_format"),
        (without("text") | {"content_base64": "YQ=="}, 415, "unsupported_format"),
        (without("text") | {"content_base64": "YQ==", "file_name": "a"}, 415, "unsupported_format"),
        (without("text") | {"url": "http://169.254.169.254/latest"}, 422, "url_refused"),
        (GOOD | {"text": "x" * (LARGEST + 1)}, 413, "document_too_large"),
        (without("text") | {"content_base64": b64encode(b"x" * (LARGEST + 1)).decode(), "file_name": "a.txt"}, 413,
         "document_too_large"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_or_is_too_large_is_refused(
    desk: Desk, body: dict[str, Any], status: int, code: str
) -> None:
    """By a type, a name or a size; in a batch with its place in it."""
    alone = await desk.manager.put("/v1/documents", json=body)
    assert (alone.status_code, alone.json()["error"]["code"]) == (status, code), alone.text
    batch = await desk.manager.post("/v1/documents/batch", json={"documents": [GOOD | {"uri": "other"}, body]})
    assert (batch.status_code, batch.json()["error"]["code"]) == (status, code)
    assert batch.json()["error"]["message"].startswith("documents.1: ")


@pytest.mark.parametrize(
    "body",
    [b"", b'{"uri', b'{"uri": "\xff"}', b'{"uri": "\\ud800"}', b"[" * 3000, json.dumps(GOOD).encode("utf-16")],
    ids=["nothing", "cut", "not utf-8", "surrogate", "deep", "utf-16"],
)
async def test_a_body_that_is_no_json_is_refused(desk: Desk, body: bytes) -> None:
    """Whatever its bytes are."""
    for address in ("/v1/documents", "/v1/documents/batch"):
        response = await desk.manager.post(address, content=body, headers=JSON)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(GOOD).encode(), {"Content-Type": "text/plain"}),
        (json.dumps(GOOD).encode(), {"Content-Type": ""}),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0), JSON | {"Content-Encoding": "gzip"}),
        (b"uri=a&text=b", {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
async def test_another_kind_of_body_is_refused(desk: Desk, body: bytes, headers: dict[str, str]) -> None:
    """Neither guessed at nor unpacked."""
    response = await desk.manager.post("/v1/documents", content=body, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


SAID = part("document", json.dumps(without("text")).encode())
FILE = part("file", PUMP.encode(), '; filename="a.txt"')
END = f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        SAID + FILE,
        SAID + FILE[:-20],
        SAID + END,
        FILE + END,
        SAID + part("file", PUMP.encode()) + END,
        SAID + FILE + FILE + END,
        SAID + SAID + FILE + END,
        part("document", b"{") + FILE + END,
        part("document", json.dumps(GOOD).encode()) + FILE + END,
        part("document", b'{"uri": "a"}') + FILE + END,
        SAID + part("file", PUMP.encode(), '; filename="../a.txt"') + END,
        SAID + part("file", PUMP.encode(), '; filename=".."') + END,
    ],
    ids=[
        "nothing", "no form", "no end", "cut", "no file", "no document", "file without a name", "two files",
        "two documents", "no json", "text as well", "no allow", "folders in the name", "dots for a name",
    ],
)  # fmt: skip
async def test_a_form_that_is_not_whole_is_refused(desk: Desk, body: bytes) -> None:
    """A form that was cut off holds half a file at best."""
    response = await desk.manager.put("/v1/documents", content=body, headers=FORM)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request"), response.text


async def test_a_form_without_a_boundary_is_refused(desk: Desk) -> None:
    """There is no telling its parts apart."""
    headers = {"Content-Type": "multipart/form-data"}
    response = await desk.manager.put("/v1/documents", content=SAID + FILE + END, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


async def test_a_file_in_a_form_has_the_same_limits(desk: Desk) -> None:
    """Its size, and a name whose extension can be read."""
    large = SAID + part("file", b"x" * (LARGEST + 1), '; filename="a.txt"') + END
    response = await desk.manager.put("/v1/documents", content=large, headers=FORM)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "document_too_large")
    strange = SAID + part("file", b"x", '; filename="a.exe"') + END
    response = await desk.manager.put("/v1/documents", content=strange, headers=FORM)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_format")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(desk: Desk) -> None:
    """Announced, not a byte of it is taken; unannounced, no more than the limit; as JSON or as a form."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield SAID + f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'.encode()
        for _ in range(1000):
            taken += 65536
            yield b"x" * 65536

    for headers in (JSON, FORM):
        taken = 0
        announced = headers | {"Content-Length": str(80 * 1024 * 1024)}
        response = await desk.manager.put("/v1/documents", content=endless(), headers=announced)
        assert (response.status_code, response.json()["error"]["code"], taken) == (413, "body_too_large", 0)
        response = await desk.manager.put("/v1/documents", content=endless(), headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
        assert taken < 2 * 1024 * 1024
        assert response.headers["connection"] == "close"


async def test_a_batch_has_at_most_a_thousand_documents_each_named_once(desk: Desk) -> None:
    """1001 are too many; a uri that is there twice is named."""
    many = [GOOD | {"uri": str(at)} for at in range(1001)]
    for documents, named in ((many, "documents"), ([], "documents"), ([*many[:5], many[2]], "documents.5: the uri 2")):
        response = await desk.manager.post("/v1/documents/batch", json={"documents": documents})
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")
        assert named in response.json()["error"]["message"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", '"open'])
async def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    """As everywhere."""
    response = await desk.manager.put("/v1/documents", json=GOOD, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "bnVsbA==", "WzFd", "WyJ4Iiwgbm9uZV0=", "WyIAIl0=", "x" * 5000, "é"]
)
@pytest.mark.parametrize("address", ["/v1/documents", "/v1/jobs"])
async def test_a_cursor_that_no_page_gave_is_refused(desk: Desk, address: str, cursor: str) -> None:
    """Whatever it holds, it is the caller's mistake."""
    response = await desk.manager.get(address, params={"cursor": cursor})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request"), response.text


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0}, {"limit": 201}, {"status": "gone"}, {"filter": "{"}, {"filter": '{"field": "page", "eq": 1}'},
        {"filter": '{"field": "metadata.unknown", "eq": 1}'}, {"uri_prefix": "\0"}, {"uri_prefix": "x" * 601},
    ],
)  # fmt: skip
async def test_a_list_that_cannot_be_is_refused(desk: Desk, parameters: dict[str, Any]) -> None:
    """Parameters are held to their rules."""
    assert (await desk.manager.get("/v1/documents", params=parameters)).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {}, {"allow": None}, {"allow": []}, {"allow": ["hr"]}, {"metadata": None}, {"metadata": {"a": "x" * 40_000}},
        {"title": "x"}, {"allow": ["everyone"], "metadata": None}, [],
    ],
)  # fmt: skip
async def test_a_change_that_says_nothing_or_too_much_is_refused(desk: Desk, body: Any) -> None:
    """Nothing is public by omission, and nothing is forgotten by a null."""
    response = await desk.manager.patch("/v1/documents/5b0d2c2e-0f6c-4b39-9d2c-6a1f6f6f3c11", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [{}, {"uris": []}, {"uris": ["a"], "filter": {"field": "uri", "eq": "a"}}, {"uris": ["x"] * 1001}, {"uris": [""]}],
)
async def test_a_deletion_says_what_is_to_go(desk: Desk, body: Any) -> None:
    """Nothing is no way to say everything."""
    response = await desk.manager.post("/v1/documents/delete", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_request")
