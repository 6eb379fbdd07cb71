"""Jobs over HTTP: how far they have come, what became of each document, and how they are stopped and tried again."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from fastapi.security import HTTPAuthorizationCredentials

from api.authentication import still_managing
from api.following import JobProgress
from retrieval.access import tenant_id
from retrieval.engine import Engine
from retrieval.errors import Unauthenticated
from retrieval.keys import revoke_key
from tests.e2e.standing import events_of
from tests.handing_in import Desk, broken, open_desk, pages_of, work
from tests.queues import texts

LEAVE = "Leave is 25 days."


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    async with open_desk(dsn) as opened:
        yield opened


async def test_a_batch_is_one_job(desk: Desk) -> None:
    """All its documents are indexed, and the job says of each what became of it."""
    given = [{"uri": f"{at}.txt", "text": f"Rule {at} of many.", "allow": ["everyone"]} for at in range(5)]
    response = await desk.manager.post("/v1/documents/batch", json={"documents": [*given, broken()]})
    assert response.status_code == 202
    work(desk)
    told = (await desk.manager.get(response.json()["status_url"])).json()
    assert (told["state"], told["total"], told["indexed"], told["failed"]) == ("failed", 6, 5, 1)
    pages = await pages_of(desk, f"{response.json()['status_url']}/documents", "revisions", limit=4)
    assert [entry["uri"] for page in pages for entry in page] == [*(each["uri"] for each in given), "broken.pdf"]
    failed = (await desk.manager.get(f"{response.json()['status_url']}/documents?state=failed")).json()["revisions"]
    assert [(entry["error_code"], entry["attempts"]) for entry in failed] == [("not_a_pdf", 1)]


async def test_a_jobs_events_end_with_its_end(desk: Desk) -> None:
    """What it is at first, each change, and `finished`; who comes later hears the end alone, whatever it heard."""
    accepted = await desk.put()
    listening = asyncio.create_task(desk.manager.get(f"{accepted['status_url']}/events"))
    await asyncio.to_thread(work, desk)
    events = events_of((await listening).text)
    assert [name for name, _ in events][-1] == "finished"
    assert {name for name, _ in events[:-1]} <= {"progress"}
    assert events[-1][1]["indexed"] == 1
    late = await desk.manager.get(f"{accepted['status_url']}/events", headers={"Last-Event-ID": "nonsense"})
    assert [name for name, _ in events_of(late.text)] == ["finished"]
    assert late.headers["content-type"].startswith("text/event-stream")


async def test_a_jobs_events_end_with_its_readers_key(desk: Desk) -> None:
    """A job may last for hours: nothing of it is told to a key that was revoked meanwhile."""
    job_id = UUID((await desk.put())["job_id"])
    _, key = desk.manager.headers["Authorization"].split()
    engine: Engine = desk.app.state.engine
    admitted = still_managing(engine, HTTPAuthorizationCredentials(scheme="Bearer", credentials=key))
    progress = JobProgress(engine.store, tenant_id("acme"), job_id, admitted)
    assert (await progress.next()).name == "progress"
    upcoming = asyncio.create_task(progress.next())
    await asyncio.to_thread(revoke_key, desk.dsn, key.split("_")[1])
    with pytest.raises(Unauthenticated):
        await upcoming
    assert (await desk.manager.get(f"/v1/jobs/{job_id}/events")).status_code == 401


async def test_a_job_is_cancelled_and_failures_are_tried_again(desk: Desk) -> None:
    """Cancelled, nothing of it is indexed; what failed waits again; both more than once."""
    accepted = await desk.put()
    for _ in range(2):
        cancelled = (await desk.manager.post(f"{accepted['status_url']}/cancel")).json()
        assert (cancelled["state"], cancelled["cancelled"]) == ("cancelled", 1)
    work(desk)
    assert texts(desk.dsn) == {}
    failed = (await desk.manager.put("/v1/documents", json=broken())).json()["status_url"]
    work(desk)
    again = (await desk.manager.post(f"{failed}/retry")).json()
    assert (again["failed"], again["waiting"]) == (0, 1)
    listed = (await desk.manager.get("/v1/jobs?limit=1")).json()
    older = (await desk.manager.get("/v1/jobs", params={"cursor": listed["next"]})).json()
    assert [job["state"] for page in (listed, older) for job in page["jobs"]] == ["queued", "cancelled"]


async def test_a_documents_states_are_told_newest_first(desk: Desk) -> None:
    """Each state that was handed in, and which version it became."""
    document = (await desk.put())["document_id"]
    work(desk)
    await desk.put(text=LEAVE)
    work(desk)
    await desk.put(text=LEAVE)
    told = (await desk.manager.get(f"/v1/documents/{document}/revisions")).json()["revisions"]
    assert [(each["state"], each["version"]) for each in told] == [("queued", None), ("indexed", 2), ("indexed", 1)]


async def test_a_failure_became_no_version(desk: Desk) -> None:
    """What failed to replace a document says so, not the number of what is still searched in its place."""
    accepted = await desk.put("broken.pdf")
    await asyncio.to_thread(work, desk)
    await desk.manager.put("/v1/documents", json=broken())
    await asyncio.to_thread(work, desk)
    told = (await desk.manager.get(f"/v1/documents/{accepted['document_id']}/revisions")).json()["revisions"]
    assert [(entry["state"], entry["version"]) for entry in told] == [("failed", None), ("indexed", 1)]
