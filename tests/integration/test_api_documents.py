"""Documents over HTTP: handed in, found, changed and taken away, each by who may, and seen by the next search."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from ingest.deleting.documents import delete_documents
from ingest.deleting.receipts import Deletion
from ingest.queueing.curating import Change
from retrieval.access import tenant_id
from retrieval.models.protocols import Vectors
from tests.fakes import WordEmbedder
from tests.handing_in import Desk, broken, open_desk, pages_of, work
from tests.integration.test_ingest import counted_right
from tests.queues import PUMP, rows, states, texts

LEAVE = "Leave is 25 days."


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    async with open_desk(dsn) as opened:
        yield opened


async def test_a_documents_life(desk: Desk) -> None:
    """Handed in, it is found once a worker had it; narrowed, not by those who may not see it any more; taken away, by
    nobody."""
    accepted = await desk.put()
    document = f"/v1/documents/{accepted['document_id']}"
    assert await desk.found() == set()
    work(desk)
    assert await desk.found() == {"pump.txt"}
    assert (await desk.ada.get(document)).json()["text"] == PUMP
    changed = await desk.manager.patch(document, json={"allow": ["group:hr"]})
    assert (changed.status_code, changed.json()["allow"]) == (200, ["group:hr"])
    assert (await desk.found(), await desk.found(desk.hr)) == (set(), {"pump.txt"})
    assert (await desk.ada.get(document)).status_code == 404
    assert (await desk.manager.delete(document)).status_code == 200
    assert await desk.found(desk.hr) == set()
    assert (await desk.manager.delete(document)).status_code == 404
    assert rows(desk.dsn, "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM revisions)") == [(0, 0)]
    counted_right(desk.dsn)


async def test_who_hands_a_document_in_is_told_where_to_ask_for_it(desk: Desk) -> None:
    """202 names the job and the document; both can be asked about at once."""
    response = await desk.manager.post("/v1/documents", json={"uri": "a", "text": PUMP, "allow": ["everyone"]})
    accepted = response.json()
    assert (response.status_code, response.headers["location"]) == (202, accepted["status_url"])
    job = (await desk.manager.get(accepted["status_url"])).json()
    assert (job["state"], job["total"], job["waiting"], job["progress"]) == ("queued", 1, 1, 0.0)
    held = (await desk.manager.get(f"/v1/documents/{accepted['document_id']}")).json()
    assert (held["status"], held["uri"], held["version"], held["pending"]["job_id"]) == (
        "queued", "a", None, accepted["job_id"],
    )  # fmt: skip
    work(desk)
    job = (await desk.manager.get(accepted["status_url"])).json()
    assert (job["state"], job["indexed"], job["progress"]) == ("succeeded", 1, 1.0)
    held = (await desk.manager.get(f"/v1/documents/{accepted['document_id']}")).json()
    assert (held["status"], held["version"], held["pending"]) == ("indexed", 1, None)


@pytest.mark.parametrize("how", ["text", "base64", "form"])
async def test_text_bytes_and_forms_are_the_same_document(desk: Desk, how: str) -> None:
    """However it comes, its words and what is said of it are stored."""
    said = {
        "uri": "wiki/pump", "allow": ["everyone"], "title": "Pump", "language": "en", "metadata": {"year": 2026},
        "content_type": "text/markdown",
    }  # fmt: skip
    if how == "form":
        response = await desk.put_form(said)
    else:
        content = {"text": PUMP} if how == "text" else {"content_base64": b64encode(PUMP.encode()).decode()}
        response = await desk.manager.put("/v1/documents", json=said | content)
    assert response.status_code == 202, response.text
    work(desk)
    found = (await desk.ada.get(f"/v1/documents/{response.json()['document_id']}")).json()
    expected = {"uri": "wiki/pump", "title": "Pump", "language": "en", "metadata": {"year": 2026}}
    assert {name: found[name] for name in expected} == expected
    assert (found["text"], found["content_type"]) == (PUMP, "text/markdown")


async def test_a_key_stands_for_one_request(desk: Desk) -> None:
    """The same documents with the same Idempotency-Key are the same job, and said to be; others are refused; another
    API key's is another."""
    body = {"uri": "a", "text": PUMP, "allow": ["everyone"]}
    key = {"Idempotency-Key": "k-1"}
    first = await desk.manager.put("/v1/documents", json=body, headers=key)
    again = await desk.manager.put("/v1/documents", json=body, headers=key)
    assert (first.json(), "idempotency-replayed" in first.headers) == (again.json(), False)
    assert again.headers["idempotency-replayed"] == "true"
    other = await desk.manager.put("/v1/documents", json=body | {"text": LEAVE}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    foreign = await desk.stranger.put("/v1/documents", json=body, headers=key)
    assert foreign.json()["job_id"] != first.json()["job_id"]
    assert rows(desk.dsn, "SELECT count(*) FROM jobs") == [(2,)]


async def test_two_states_handed_in_at_once_leave_one_on_its_way(desk: Desk) -> None:
    """Whichever was first is superseded; the stored text is the other's."""
    given = [f"The red pump needs oil every {day}." for day in ("Monday", "Tuesday", "Friday", "Sunday")]
    await asyncio.gather(*(desk.put(text=text) for text in given))
    left = rows(desk.dsn, "SELECT state FROM revisions")
    assert sorted(state for (state,) in left) == ["queued", "superseded", "superseded", "superseded"]
    work(desk)
    assert texts(desk.dsn)["pump.txt"] in given
    counted_right(desk.dsn)


async def test_a_change_reaches_what_is_on_its_way(desk: Desk) -> None:
    """A document that waits, is being worked on, or failed and is tried again, comes out with the new permissions."""
    waits = (await desk.put("waits.txt"))["document_id"]
    broken = await desk.put("broken.txt", "x", content_type="application/pdf")
    await _allow(desk, waits, "group:hr")

    class Changed(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if not self.embedded:
                change = Change(acl=frozenset({"group:eng"}), metadata={"year": 1}, only_if=None)
                with desk.app.state.writing.curator(tenant_id("acme")) as curator:
                    curator.change(UUID(waits), change)
            return super().embed_documents(texts)

    work(desk, Changed())
    assert rows(desk.dsn, "SELECT uri, acl, metadata FROM documents") == [("waits.txt", ["group:eng"], {"year": 1})]
    await _allow(desk, broken["document_id"], "group:eng")
    await desk.manager.post(f"{broken['status_url']}/retry")
    assert rows(desk.dsn, "SELECT acl FROM revisions WHERE uri = 'broken.txt'") == [(["group:eng"],)]
    counted_right(desk.dsn)


async def _allow(desk: Desk, document_id: str, principal: str) -> None:
    changed = await desk.manager.patch(f"/v1/documents/{document_id}", json={"allow": [principal]})
    assert changed.status_code == 200, changed.text


async def test_what_is_deleted_while_it_is_worked_on_never_appears(desk: Desk) -> None:
    """The worker finds that the document is no longer its own, and stores nothing of it."""
    job = await desk.put()

    class Deleted(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            gone = Deletion(dsn=desk.dsn, tenant=tenant_id("acme"), asked_by="tests", asked_at=datetime.now(UTC))
            assert delete_documents(gone, document_ids=[UUID(job["document_id"])]).removed["revisions"] == 1
            return super().embed_documents(texts)

    work(desk, Deleted())
    assert (texts(desk.dsn), states(desk.dsn)) == ({}, {})
    assert rows(desk.dsn, "SELECT count(*) FROM uploads") == [(0,)]
    ended = (await desk.manager.get(job["status_url"])).json()
    assert (ended["state"], ended["cancelled"], ended["waiting"]) == ("cancelled", 1, 0)
    assert (await desk.manager.get(f"/v1/documents/{job['document_id']}")).status_code == 404


async def test_a_change_meant_for_another_state_is_refused(desk: Desk) -> None:
    """With If-Match a document is changed as it was read, or not at all."""
    document = f"/v1/documents/{(await desk.put())['document_id']}"
    work(desk)
    read = (await desk.manager.get(document)).headers["etag"]
    first = await desk.manager.patch(document, json={"metadata": {"year": 1}}, headers={"If-Match": read})
    assert (first.status_code, first.headers["etag"] != read) == (200, True)
    late = await desk.manager.patch(document, json={"metadata": {"year": 2}}, headers={"If-Match": read})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "precondition_failed")
    assert (await desk.manager.patch(document, json={"allow": ["group:hr"]}, headers={"If-Match": "*"})).is_success
    assert rows(desk.dsn, "SELECT acl, metadata FROM documents") == [(["group:hr"], {"year": 1})]


async def test_lists_hold_each_document_once_whatever_the_page(desk: Desk) -> None:
    """By uri, those stored, on their way and failed, each with its state; by prefix, state and filter."""
    for at in range(4):
        await desk.put(f"a/{at}", metadata={"year": 2020 + at})
    await desk.manager.put("/v1/documents", json=broken())
    work(desk)
    await desk.put("a/1", "The red pump is gone.")
    await desk.put("z")
    everything = {
        "a/0": "indexed",
        "a/1": "queued",
        "a/2": "indexed",
        "a/3": "indexed",
        "broken.pdf": "failed",
        "z": "queued",
    }
    for limit in (1, 2, 5, 6, 50):
        pages = await pages_of(desk, "/v1/documents", "documents", limit=limit)
        assert [(each["uri"], each["status"]) for page in pages for each in page] == sorted(everything.items())
        assert all(len(page) <= limit for page in pages)
    for status in ("indexed", "queued", "failed", "running"):
        [page] = await pages_of(desk, "/v1/documents", "documents", status=status)
        assert {each["uri"] for each in page} == {uri for uri, held in everything.items() if held == status}
    [page] = await pages_of(desk, "/v1/documents", "documents", uri_prefix="a/")
    assert len(page) == 4
    wanted = '{"field": "metadata.year", "range": {"gte": 2021}}'
    [page] = await pages_of(desk, "/v1/documents", "documents", filter=wanted)
    assert [each["uri"] for each in page] == ["a/1", "a/2", "a/3"]
    [page] = await pages_of(desk, "/v1/documents", "documents", filter=wanted, status="queued")
    assert [each["uri"] for each in page] == ["a/1"]


async def test_a_reader_is_told_of_what_it_may_see_and_nothing_else(desk: Desk) -> None:
    """Lists, documents, pieces and states: what waits, what is hidden and who may see what is for managers alone, and
    the text for readers alone."""
    hidden = (await desk.put("hidden.txt", allow=["group:hr"]))["document_id"]
    seen = (await desk.put("seen.txt"))["document_id"]
    work(desk)
    waits = (await desk.put("waits.txt"))["document_id"]
    listed = (await desk.ada.get("/v1/documents")).json()["documents"]
    assert [(each["uri"], "allow" in each) for each in listed] == [("seen.txt", False)]
    for document in (hidden, waits):
        assert (await desk.ada.get(f"/v1/documents/{document}")).status_code == 404
        assert (await desk.ada.get(f"/v1/documents/{document}/chunks")).status_code == 404
    pieces = (await desk.ada.get(f"/v1/documents/{seen}/chunks")).json()["chunks"]
    assert [piece["text"] for piece in pieces] == [PUMP]
    assert (await desk.manager.get(f"/v1/documents/{hidden}")).json()["text"] is None
    assert (await desk.manager.get(f"/v1/documents/{seen}/chunks")).status_code == 403
    assert (await desk.ada.get("/v1/documents?status=indexed")).status_code == 403


async def test_without_the_scope_nothing_is_managed(desk: Desk) -> None:
    """Every address that manages documents refuses a key that only reads."""
    accepted = await desk.put()
    document, job = f"/v1/documents/{accepted['document_id']}", accepted["status_url"]
    for method, address in (
        ("PUT", "/v1/documents"), ("POST", "/v1/documents"), ("POST", "/v1/documents/batch"),
        ("POST", "/v1/documents/delete"), ("PATCH", document), ("DELETE", document), ("GET", f"{document}/revisions"),
        ("GET", "/v1/jobs"), ("GET", job), ("GET", f"{job}/documents"), ("GET", f"{job}/events"),
        ("POST", f"{job}/cancel"), ("POST", f"{job}/retry"),
    ):  # fmt: skip
        body = {"PATCH": {"allow": ["everyone"]}, "POST": {"uris": ["a"]}}.get(method)
        response = await desk.ada.request(method, address, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (403, "access_denied"), (method, address)


async def test_another_tenants_documents_and_jobs_are_not_there(desk: Desk) -> None:
    """By id, by uri and in lists; a document of one's own with the same uri is another."""
    accepted = await desk.put()
    work(desk)
    document, job = f"/v1/documents/{accepted['document_id']}", accepted["status_url"]
    for method, address in (
        ("GET", document), ("PATCH", document), ("DELETE", document), ("GET", f"{document}/chunks"),
        ("GET", f"{document}/revisions"), ("GET", job), ("GET", f"{job}/documents"), ("GET", f"{job}/events"),
        ("POST", f"{job}/cancel"), ("POST", f"{job}/retry"),
    ):  # fmt: skip
        body = {"allow": ["everyone"]} if method == "PATCH" else None
        response = await desk.stranger.request(method, address, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found"), (method, address)
    assert (await desk.stranger.get("/v1/documents")).json()["documents"] == []
    assert (await desk.stranger.get("/v1/jobs")).json()["jobs"] == []
    gone = await desk.stranger.post("/v1/documents/delete", json={"uris": ["pump.txt"]})
    assert gone.json() == {"documents": 0, "dry_run": False, "receipt": None}
    assert await desk.found() == {"pump.txt"}


async def test_many_are_deleted_by_uri_or_by_a_filter(desk: Desk) -> None:
    """Counted first, if so asked; what is not there is passed over; what waits goes too, where it is named."""
    for at in range(4):
        await desk.put(f"{at}.txt", metadata={"year": 2020 + at})
    work(desk)
    await desk.put("waits.txt")
    by_year = {"filter": {"field": "metadata.year", "range": {"lt": 2022}}}
    assert await _deleted(desk, by_year | {"dry_run": True}) == 2
    assert len(texts(desk.dsn)) == 4
    assert await _deleted(desk, by_year) == 2
    assert await _deleted(desk, {"uris": ["3.txt", "waits.txt", "nowhere.txt"], "dry_run": True}) == 2
    assert await _deleted(desk, {"uris": ["3.txt", "waits.txt", "nowhere.txt"]}) == 2
    assert (set(texts(desk.dsn)), set(states(desk.dsn))) == ({"2.txt"}, {"2.txt"})
    passages = await desk.manager.post("/v1/documents/delete", json={"filter": {"field": "page", "eq": 1}})
    assert (passages.status_code, passages.json()["error"]["code"]) == (422, "invalid_filter")
    counted_right(desk.dsn)


async def _deleted(desk: Desk, body: dict[str, Any]) -> int:
    response = await desk.manager.post("/v1/documents/delete", json=body)
    assert response.status_code == 200, response.text
    return int(response.json()["documents"])


async def test_a_text_without_a_title_is_called_by_its_uri(desk: Desk) -> None:
    """Its title is searched and shown with each passage: one that all such documents shared would say nothing."""
    said = [{"uri": "wiki/pump v1.2"}, {"uri": "/"}, {"uri": "x", "file_name": "oil.txt"}, {"uri": "y", "title": "Oil"}]
    for each in said:
        await desk.put(**each)
    work(desk)
    listed = (await desk.manager.get("/v1/documents")).json()["documents"]
    assert {each["uri"]: each["title"] for each in listed} == {
        "wiki/pump v1.2": "pump v1.2", "/": "document", "x": "oil", "y": "Oil",
    }  # fmt: skip
