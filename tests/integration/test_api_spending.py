"""Money over HTTP: refusals by policy, what an answer cost, what was spent and what is left."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx2
import psycopg
import pytest

from api.app import create_app
from retrieval.access import tenant_id
from retrieval.engine import Engine
from retrieval.keys import create_key
from tests.e2e.standing import client_of, events_of
from tests.faults.matrix import GOOD
from tests.integration.test_spending import COST, QUESTION, answered, limit, opened
from tests.llm_servers import scripted as script
from tests.llm_servers.scripted import scripted_llm

_DIES = """
import asyncio, sys
from retrieval.database.store import open_store
from tests.conftest import on_database
from tests.bookkeeping import ORDER
from retrieval.spending.ledger import Ledger

async def main():
    settings = on_database(sys.argv[1]).database
    async with open_store(sys.argv[1], settings) as store:
        await Ledger(store, 0.0).reserve(ORDER)
        print("reserved", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_what_a_killed_process_had_reserved_stays_booked_and_is_told_as_abandoned(unspent: str) -> None:
    """Its provider may bill it and nobody can say otherwise: it counts at its bound, and is no call under way."""
    async with opened(unspent) as engine:
        await limit(engine, 2000)
        command = [sys.executable, "-c", _DIES, unspent]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"reserved\n"
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        async with _client(engine, unspent, "admin") as client:
            told = (await client.get("/v1/usage")).json()
    assert (told["total"]["under_way"], told["total"]["abandoned"], told["total"]["calls"]) == (0, 1, 1)
    assert told["total"]["prompt_tokens"] + told["total"]["completion_tokens"] == 1600
    assert [each["left"] for each in told["budgets"]] == [400]


@asynccontextmanager
async def _client(engine: Engine, dsn: str, *scopes: str, who: str = "user:ada") -> AsyncIterator[httpx2.AsyncClient]:
    key = create_key(dsn, tenant_id("acme"), "test", {"query", *scopes}, {who})
    async with client_of(create_app(engine.settings, engine)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.mark.parametrize("stream", [True, False])
async def test_by_policy_a_used_up_budget_is_a_429_that_says_when_it_is_new(unspent: str, stream: bool) -> None:
    """Before the first event, with `Retry-After` in seconds and the moment itself; nothing is booked."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server, refuse=True) as engine, _client(engine, unspent) as client:
            body = {"question": QUESTION, "stream": stream}
            good = await client.post("/v1/answers", json=body)
            await limit(engine, 50, "user:ada")
            refused = await client.post("/v1/answers", json=body)
    assert good.status_code == 200
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["reset_at"][8:]) == ("budget_exhausted", "01T00:00:00Z")
    assert 1 <= int(refused.headers["retry-after"]) <= 31 * 86_400
    assert len(server.requests) == 1


async def test_the_request_and_its_key_are_in_the_ledger_and_the_cost_is_in_the_answer(unspent: str) -> None:
    """An operator finds a call by the request id that the client was given."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server) as engine, _client(engine, unspent) as client:
            response = await client.post("/v1/answers", json={"question": QUESTION}, headers={"X-Request-ID": "r-17"})
            key_id = client.headers["Authorization"].split("_")[1]
    finished = dict(events_of(response.text))["finished"]
    assert finished["cost_usd"] == "0.0000195"
    with psycopg.connect(unspent) as connection:
        rows = connection.execute("SELECT request_id, key_id, principals FROM spending_calls").fetchall()
    assert rows == [("r-17", key_id, ["everyone", "user:ada"])]


async def test_usage_adds_up_and_shows_nobody_elses_calls(unspent: str) -> None:
    """A key is told of calls made as its own principals alone; with `admin`, of all. Parts add up to the total."""
    with scripted_llm(script.answer(GOOD)) as server:
        async with opened(unspent, server) as engine:
            await limit(engine, 10**9, unit="nano_usd")
            await limit(engine, 5000, "user:*")
            await limit(engine, 900, "user:ben")
            for principals in (("user:ada",), ("user:ada",), ("user:cleo", "group:eng"), ()):
                await answered(engine, *principals)
            async with _client(engine, unspent) as ada, _client(engine, unspent, "admin", who="group:x") as admin:
                own = (await ada.get("/v1/usage")).json()
                parted = {by: (await admin.get(f"/v1/usage?by={by}")).json() for by in ("day", "model", "principal")}
                later = (await admin.get("/v1/usage?since=2999-01-01")).json()
                wrong = await admin.get("/v1/usage?by=color")
    assert own["total"]["calls"] == 3
    assert {each["principal"]: each["left"] for each in own["budgets"]} == {
        "everyone": f"{Decimal(10**9 - 4 * COST) / 10**9:f}",
        "user:ada": 5000 - 2 * 18,
    }
    for by in ("day", "model"):
        for figure in ("calls", "prompt_tokens", "completion_tokens"):
            assert sum(part[figure] for part in parted[by]["parts"]) == parted[by]["total"][figure]
        costs = [Decimal(part["cost_usd"]) for part in parted[by]["parts"]]
        assert sum(costs) == Decimal(parted[by]["total"]["cost_usd"]) == Decimal(4 * COST) / 10**9
    by_principal = {part["part"]: part["calls"] for part in parted["principal"]["parts"]}
    assert by_principal == {"everyone": 4, "group:eng": 1, "user:ada": 2, "user:cleo": 1}
    assert parted["principal"]["total"] == parted["day"]["total"]
    left = {each["principal"]: each["left"] for each in parted["day"]["budgets"] if each["unit"] == "tokens"}
    assert left == {"user:*": 5000, "user:ada": 5000 - 36, "user:ben": 900, "user:cleo": 5000 - 18}
    assert (later["parts"], later["total"]["calls"], later["total"]["cost_usd"]) == ([], 0, "0")
    assert wrong.status_code == 422
