"""Readiness over HTTP: asked by anyone, looked up seldom, and telling no more than states."""

import asyncio

import httpx2
import pytest
from structlog.testing import capture_logs

import api.probe
from api.probe import ReadinessProbe
from retrieval.engine import Engine
from retrieval.readiness import PartState, Readiness
from tests.e2e.standing import ScriptedPath, client_of, scripted_app

READY = PartState(state="ready", detail="model")
LOST = PartState(state="unavailable", detail="no weights in /srv/secret")
ABSENT = PartState(state="not_configured", detail="none")


class Parts:
    """What the parts say when asked, and how often they were."""

    def __init__(self) -> None:
        self.states = {"database": READY, "embedder": READY, "reranker": ABSENT, "llm": ABSENT}
        self.asked = 0

    async def readiness(self, _engine: Engine) -> Readiness:
        self.asked += 1
        await asyncio.sleep(0.01)
        return Readiness(parts=dict(self.states))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    standing_in = Parts()
    monkeypatch.setattr(api.probe, "readiness", standing_in.readiness)
    return standing_in


async def _probe(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.get("/readyz")


async def test_many_probes_ask_the_parts_once(parts: Parts) -> None:
    """At the same time or soon after: whoever can reach the port cannot run up the provider's bill."""
    async with client_of(scripted_app(ScriptedPath())) as client:
        answers = await asyncio.gather(*[_probe(client) for _ in range(20)])
        answers.append(await _probe(client))
    assert {answer.status_code for answer in answers} == {200}
    assert parts.asked == 1


async def test_each_app_asks_for_itself(parts: Parts) -> None:
    """Two apps in one process know nothing of each other's results."""
    for _ in range(2):
        async with client_of(scripted_app(ScriptedPath())) as client:
            await _probe(client)
    assert parts.asked == 2


async def test_a_result_is_not_kept_for_ever(parts: Parts) -> None:
    """Once it is old, the parts are asked again."""
    app = scripted_app(ScriptedPath())
    app.state.probe = ReadinessProbe(kept=0.05)
    async with client_of(app) as client:
        assert (await _probe(client)).status_code == 200
        parts.states["database"] = LOST
        assert (await _probe(client)).status_code == 200
        await asyncio.sleep(0.06)
        late = await _probe(client)
    assert (late.status_code, late.headers["retry-after"], late.json()["ready"]) == (503, "5", False)


async def test_a_probe_that_gives_up_does_not_spoil_it_for_the_others(parts: Parts) -> None:
    """Cancelling the one that is asking lets the next one ask."""
    probe = ReadinessProbe()
    engine: Engine = None  # type: ignore[assignment]  # the parts stand in for it
    first, second = asyncio.create_task(probe.readiness(engine)), asyncio.create_task(probe.readiness(engine))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).ready
    assert (first.cancelled(), parts.asked) == (True, 2)


async def test_the_reason_is_in_the_log_and_not_on_the_wire(parts: Parts) -> None:
    """Anyone may ask: they learn states. The operator reads why, once per change."""
    app = scripted_app(ScriptedPath())
    app.state.probe = ReadinessProbe(kept=0)
    with capture_logs() as logged:
        async with client_of(app) as client:
            for state in (READY, LOST, LOST, READY):
                parts.states["embedder"] = state
                body = (await _probe(client)).json()
                assert body["parts"]["embedder"] == {"state": state.state}
    changes = [(entry["log_level"], entry["part"], entry["state"], entry["detail"]) for entry in logged]
    assert changes == [
        ("warning", "embedder", "unavailable", LOST.detail),
        ("warning", "embedder", "ready", READY.detail),
    ]


async def test_what_is_missing_from_the_start_is_logged_too(parts: Parts) -> None:
    """A part that never loaded is news; one that nobody configured is not."""
    parts.states["embedder"] = LOST
    with capture_logs() as logged:
        async with client_of(scripted_app(ScriptedPath())) as client:
            await _probe(client)
    assert [entry["part"] for entry in logged] == ["embedder"]
