"""How often may be asked: what a caller is told, whom a flood hurts, and what happens when nobody can count."""

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.authentication import known_key
from retrieval.errors import InvalidSettings
from retrieval.keys import ApiKey
from retrieval.settings import LimitsSettings, Settings
from tests.e2e.standing import GOOD, KEY, ScriptedPath, client_of, scripted_app

SPEAKER = replace(KEY, scopes=frozenset({"query", "act_as"}))
ASK = {"question": "When does the gate open?", "stream": False}


def _app(key: ApiKey = KEY, **limits: Any) -> FastAPI:
    app = scripted_app(ScriptedPath(*GOOD), LimitsSettings(**limits))
    app.dependency_overrides[known_key] = lambda: key
    return app


async def _ask(client: httpx2.AsyncClient, *principals: str) -> httpx2.Response:
    return await client.post("/v1/answers", json=ASK | ({"principals": list(principals)} if principals else {}))


async def test_what_is_left_is_told_and_what_is_over_is_refused() -> None:
    """The headers are the IETF draft's; a refusal says when to come back, in the one error body."""
    async with client_of(_app(per_key="2/hour", per_principal="100/hour")) as client:
        told = [await _ask(client) for _ in range(3)]
    assert [response.status_code for response in told] == [200, 200, 429]
    assert {response.headers["ratelimit-policy"] for response in told} == {'"principal";q=100;w=3600, "key";q=2;w=3600'}
    left = [
        re.fullmatch(r'"principal";r=(\d+);t=\d+, "key";r=(\d+);t=(\d+)', each.headers["ratelimit"]) for each in told
    ]
    assert [found and found.groups()[:2] for found in left] == [("99", "1"), ("98", "0"), ("97", "0")]
    assert told[2].json()["error"]["code"] == "rate_limited"
    assert 1 <= int(told[2].headers["retry-after"]) <= 3600
    assert left[2] is not None
    assert told[2].headers["retry-after"] == left[2][3]


async def test_without_limits_nothing_is_said_of_them() -> None:
    """The default: whoever runs the service decides."""
    async with client_of(_app()) as client:
        assert "ratelimit" not in (await _ask(client)).headers


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/answers", ASK),
        ("POST", "/v1/answers", ASK | {"stream": True}),
        ("POST", "/v1/search", {"question": "When?"}),
        ("GET", f"/v1/documents/{UUID(int=7)}", None),
        ("GET", f"/v1/answers/{UUID(int=7)}/events", None),
        ("GET", "/v1/usage", None),
    ],
)
async def test_every_way_to_the_database_is_limited(method: str, path: str, body: Any) -> None:
    """They count together, and a refused request does no work."""
    app = _app(per_key="1/hour")
    async with client_of(app) as client:
        await _ask(client)
        refused = await client.request(method, path, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")


async def test_one_users_flood_is_not_the_others() -> None:
    """A front end's users are counted apart, and what a user is refused does not use up the front end's share."""
    async with client_of(_app(SPEAKER, per_key="6/hour", per_principal="3/hour")) as client:
        flood = [await _ask(client, "user:eve", f"group:g{number}") for number in range(8)]
        assert [response.status_code for response in flood] == [200] * 3 + [429] * 5
        assert [(await _ask(client, "user:ada")).status_code for _ in range(3)] == [200] * 3
        assert (await _ask(client, "user:bob")).status_code == 429  # now it is the key's


async def test_who_names_no_user_is_counted_by_all_principals() -> None:
    """Two services that ask as different groups do not share a limit, one that asks as the same ones does."""
    async with client_of(_app(SPEAKER, per_principal="1/hour")) as client:
        asked = [await _ask(client, *groups) for groups in (("group:a",), ("group:b",), ("group:a",), ())]
    assert [response.status_code for response in asked] == [200, 200, 429, 200]


async def test_a_burst_at_once_is_counted_exactly() -> None:
    """64 requests at the same moment: as many as the limit get through."""
    async with client_of(_app(per_key="10/hour")) as client:
        statuses = [response.status_code for response in await asyncio.gather(*(_ask(client) for _ in range(64)))]
    assert sorted(statuses) == [200] * 10 + [429] * 54


async def test_a_refused_key_learns_nothing_of_limits() -> None:
    """Only who is known is counted."""
    app = scripted_app(ScriptedPath(*GOOD), LimitsSettings(per_key="1/hour"))
    del app.dependency_overrides[known_key]
    async with client_of(app) as client:
        refused = await _ask(client)
    assert (refused.status_code, "ratelimit" in refused.headers) == (401, False)


async def test_where_nobody_can_count_everybody_gets_through() -> None:
    """The storage is away: requests are served, without the headers; it is counted, and not tried for each of them."""
    app = _app(per_key="1/hour", storage=SecretStr("redis://127.0.0.1:1"))
    async with client_of(app) as client:
        for _ in range(3):
            served = await _ask(client)
            assert (served.status_code, "ratelimit" in served.headers) == (200, False)
        assert "pincite_rate_limits_not_kept_total 1.0" in (await client.get("/metrics")).text


async def test_a_storage_that_hangs_holds_nobody_up() -> None:
    """It accepts the connection and never answers: the request goes on after a moment."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = _app(per_key="1/hour", storage=SecretStr(f"redis://127.0.0.1:{silent.getsockname()[1]}"))
        async with client_of(app) as client, asyncio.timeout(5):
            assert (await _ask(client)).status_code == 200


@pytest.mark.parametrize("rate", ["many", "60", "0/minute", "1/second;2/minute", "-1/minute"])
def test_what_is_no_rate_is_refused_at_the_start(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting."""
    monkeypatch.setenv("PINCITE_LIMITS_PER_KEY", rate)
    with pytest.raises(InvalidSettings, match="per_key"):
        Settings()


@pytest.mark.parametrize("storage", ["postgres://user:geheim@host", "geheim", "redis://:geheim@host:port"])
def test_a_storage_we_do_not_know_is_refused_at_the_start(storage: str) -> None:
    """Without repeating it: it may hold a password."""
    with pytest.raises(InvalidSettings, match="storage") as caught:
        _app(per_key="1/hour", storage=SecretStr(storage))
    assert "geheim" not in str(caught.value)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretStr]:
    """A Redis of our own on a free port; skipped where there is none (tests/install_packages.sh)."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log) as process:
        try:
            _wait_for(port, folder / "log")
            yield SecretStr(f"redis://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait_for(port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(log.read_text())


async def test_several_processes_count_together(redis: SecretStr) -> None:
    """By Redis: 32 requests at the same moment at two processes, and as many as the limit get through."""
    apps = [_app(per_key="10/hour", per_principal="50/hour", storage=redis) for _ in range(2)]
    async with client_of(apps[0]) as here, client_of(apps[1]) as there:
        first = await _ask(here)
        asked = await asyncio.gather(*(_ask(client) for client in [here, there] * 16))
    assert '"key";r=9' in first.headers["ratelimit"]
    assert sum(response.status_code == 200 for response in [first, *asked]) == 10
