"""The fault matrix held to its law, and answers while endpoints fail one by one. `make faults` prints the table."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest

from api.app import create_app
from retrieval.access import caller, tenant_id
from retrieval.answering import answer
from retrieval.domain import AnswerFinished, Degradation, Question
from retrieval.endpoints import EndpointSettings
from retrieval.engine import Engine, open_engine
from retrieval.keys import create_key
from retrieval.readiness import readiness
from retrieval.settings import LlmSettings
from tests.conftest import on_database
from tests.e2e.standing import client_of
from tests.fakes import WordEmbedder
from tests.faults.matrix import FAULTS, GOOD, STAGES, Stage, corpus, measure
from tests.llm_servers import scripted as script
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

QUESTION = "How often does the red pump need oil?"
HARMLESS = {"wrong usage"}
MIDWAY = {"hang mid-stream", "slow drip", "cut mid-stream", "no finish_reason"}
ASKED_AGAIN = {"429, Retry-After", "429", "500", "503"}
DECLINED = {"401", "400", "429, Retry-After: 1 h"}
UNREACHED = {"refused", "no such host"}


@pytest.fixture(scope="module")
def pumps(server: str) -> Iterator[str]:
    with corpus(server) as dsn:
        yield dsn


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_every_fault_has_a_declared_end_in_time(pumps: str, stage: Stage, fault: str) -> None:
    """Nothing escapes and nothing is late: the answer comes, cheaper and saying so, or its stream ends with an error.

    Only the generator's first words commit it; before them, and at the other stages, there is always an answer.
    It is asked again after 429 and 5xx alone, and not when the server wants more time than there is. Each call is
    booked once; what a server declined costs nothing, and what it may have begun costs something.
    """
    row = await measure(pumps, stage, fault)
    assert not row.unhandled, row
    assert not row.late, row
    assert not row.misbooked, row
    if stage == "generate":
        assert row.attempts == (0 if fault in UNREACHED else 2 if fault in ASKED_AGAIN else 1)
        assert row.booked.billed == (0 if fault in UNREACHED | ASKED_AGAIN | DECLINED else 1)
    if fault in HARMLESS:
        assert (row.outcome, row.degraded) == ("answered", ())
        assert row.estimated == (stage == "generate")
    elif stage == "generate" and fault in MIDWAY:
        assert row.outcome == "llm_interrupted"
    else:
        part = {"embed": "embedder", "rerank": "reranker", "generate": "llm"}[stage]
        assert (row.outcome, row.answered_by, row.degraded) == ("answered", "extractive", (f"{part}_unavailable",))


@asynccontextmanager
async def _opened(dsn: str, *servers: ScriptedLlm, waiting: int = 32) -> AsyncIterator[Engine]:
    endpoints = tuple(
        EndpointSettings(name=f"e{at}", model="scripted", base_url=server.base_url, priority=at, concurrency=1)
        for at, server in enumerate(servers, 1)
    )
    llm = LlmSettings(endpoints=endpoints, token_timeout=0.5, deadline=3, retries=0, waiting=waiting)
    async with open_engine(replace(on_database(dsn), llm=llm), embedder=WordEmbedder()) as engine:
        yield engine


async def _answered(engine: Engine) -> AnswerFinished:
    events = [event async for event in answer(engine, Question(text=QUESTION, caller=caller("acme", ()), limit=5))]
    assert isinstance(events[-1], AnswerFinished), events[-1]
    return events[-1]


async def test_a_second_endpoint_answers_for_the_first(pumps: str) -> None:
    """Nothing is degraded, and the answer says who wrote it and how many calls it took."""
    with scripted_llm(script.status(500)) as first, scripted_llm(script.answer(GOOD)) as second:
        async with _opened(pumps, first, second) as engine:
            finished = await _answered(engine)
    assert finished.served is not None
    assert (finished.served.endpoint, finished.served.attempts) == ("e2", 2)
    assert (finished.outcome, finished.degraded) == ("answered", ())


async def test_with_all_endpoints_down_the_answer_is_quoted(pumps: str) -> None:
    """The cheaper answer is declared, and each endpoint's state is told apart."""
    with scripted_llm(script.status(401)) as first, scripted_llm(script.status(500)) as second:
        async with _opened(pumps, first, second) as engine:
            finished = await _answered(engine)
            states = (await readiness(engine)).llm_endpoints
    assert (finished.answered_by, finished.degraded) == ("extractive", (Degradation.LLM_UNAVAILABLE,))
    assert finished.served is None
    assert {name: (state.state, state.breaker) for name, state in states.items()} == {
        "e1": ("unavailable", "open"),
        "e2": ("ready", "closed"),
    }


async def test_over_http_a_crowd_is_shed_and_told_when_to_come_back(pumps: str) -> None:
    """What one endpoint can write and its line can hold is answered; the rest is a 503 with `Retry-After`, at once."""
    key = create_key(pumps, tenant_id("acme"), "test", {"query"}, {"user:ada"})
    body = {"question": QUESTION, "stream": False}
    with scripted_llm(script.slow_drip(GOOD, pause=0.05)) as server:
        async with (
            _opened(pumps, server, waiting=2) as engine,
            client_of(create_app(engine.settings, engine)) as client,
        ):
            headers = {"Authorization": f"Bearer {key}"}
            asked = (client.post("/v1/answers", json=body, headers=headers) for _ in range(8))
            answers: list[httpx2.Response] = await asyncio.gather(*asked)
            ready = (await client.get("/readyz")).json()
    assert Counter(each.status_code for each in answers) == {200: 3, 503: 5}
    shed = next(each for each in answers if each.status_code == 503)
    assert shed.headers["retry-after"]
    assert shed.json()["error"]["code"] == "overloaded"
    served = [each.json()["served"] for each in answers if each.status_code == 200]
    assert served == [{"endpoint": "e1", "model": "scripted", "attempts": 1, "tier": None, "reason": None}] * 3
    assert ready["llm_endpoints"] == {"e1": {"state": "ready", "breaker": "closed"}}
