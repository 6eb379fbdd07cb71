"""Many open streams in one process, and what an answer costs it: `python -m evals.benchmarks.streams`.

`pincite serve` as a process, a scripted upstream as another, the clients here. First, a thousand answers that are all
open at the same time: every event has to arrive. Then answers one after another, of one word each: the CPU time of
the serving process for a whole answer, against that of a search and that of asking the upstream directly.
"""

import asyncio
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import httpx2
import psycopg
import typer
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from evals.benchmarks.made_up_documents import batches, made_up_documents
from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import markdown, publish
from ingest.store import add_tenant, open_writer
from retrieval.access import tenant_id
from retrieval.database.generations import FIRST
from retrieval.database.preparing import prepare_database
from retrieval.keys import create_key
from retrieval.settings import DatabaseSettings, Settings

TENANT = tenant_id("bench")
CHUNKS = 500
_DIMENSIONS = 64
_OPENING = 24  # answers that are begun at a time
_ANSWERS = 100  # one after another


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A serving process, and how to ask it."""

    pid: int
    client: httpx2.AsyncClient

    def cpu_ms(self) -> float:
        """CPU time of all its threads so far."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e6

    def memory_mb(self) -> float:
        """What it holds in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up index; made when it is not there")],
    streams: Annotated[int, typer.Option(min=1)] = 1000,
    words: Annotated[int, typer.Option(min=1, help="Of each of the long answers, one every three seconds")] = 40,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints both tables."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    dsn = prepare_database(Settings(database=DatabaseSettings(data_dir=data_dir, database_url=None)))
    load(dsn)
    key = create_key(dsn, TENANT, "bench", {"query"}, set())
    opened = [asyncio.run(_open_many(dsn, key, streams, words, kept=kept)) for kept in (False, True)]
    costs = asyncio.run(_one_by_one(dsn, key))
    columns = ["answers", "open at once", "events", "lost", "memory a stream", "cpu an event"]
    body = f"{markdown(columns, opened)}\n\n{markdown(['one after another', 'cpu each'], costs)}"
    about = f"{CHUNKS} made-up chunks, searched by words; {_ANSWERS} short answers."
    publish("streams", "Many open streams, and what an answer costs", f"{about}\n\n{body}", record=record)


def load(dsn: str) -> None:
    """The made-up index, where there is none yet."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone() is not None:
            return
        connection.execute("INSERT INTO generations VALUES (1, 'made-up', %s)", [_DIMENSIONS])
    add_tenant(dsn, TENANT)
    with open_writer(dsn, TENANT) as writer:
        for some in batches(made_up_documents(CHUNKS, 10, _DIMENSIONS)):
            writer.replace(some, FIRST)


async def _open_many(dsn: str, key: str, streams: int, words: int, *, kept: bool) -> list[object]:
    expected = "".join(f"word{number} " for number in range(words))
    with upstream_serving("--words", str(words), "--pause", "3") as upstream:
        async with _serving(dsn, key, upstream) as service:
            question = MadeUpWords(CHUNKS).questions(1)[0]
            await _read(service, question, kept=kept, opened=asyncio.Semaphore())  # what is loaded once
            memory, cpu, opening = service.memory_mb(), service.cpu_ms(), asyncio.Semaphore(_OPENING)
            reading = [asyncio.create_task(_read(service, question, kept=kept, opened=opening)) for _ in range(streams)]
            most = await _most_memory(service, reading)
            read = await asyncio.gather(*reading)
            spent = service.cpu_ms() - cpu
    at_once = max(sum(other.begun <= each.begun < other.ended for other in read) for each in read)
    events = sum(each.events for each in read)
    lost = sum(not each.complete or each.text.strip() != expected.strip() for each in read)
    name = "with an Idempotency-Key" if kept else "without"
    return [
        name,
        at_once,
        f"{events:,}",
        lost,
        f"{(most - memory) / streams * 1024:.0f} kB",
        f"{spent / events:.2f} ms",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One stream as its client saw it; `complete`: its events' ids have no gap, and it ends as it should."""

    begun: float
    ended: float
    events: int
    text: str
    complete: bool


async def _read(service: Service, question: str, *, kept: bool, opened: asyncio.Semaphore) -> _Read:
    headers = {"Idempotency-Key": uuid4().hex} if kept else {}
    await opened.acquire()
    async with service.client.stream("POST", "/v1/answers", json={"question": question}, headers=headers) as response:
        opened.release()
        begun, lines = time.monotonic(), [line async for line in response.aiter_lines()]
    numbers = [int(line.rpartition(".")[2]) for line in lines if line.startswith("id: ")]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    text = "".join(said["text"] for name, said in zip(names, data, strict=True) if name == "text")
    complete = numbers == list(range(1, len(names) + 1)) and names[-1:] == ["finished"]
    return _Read(begun=begun, ended=time.monotonic(), events=len(names), text=text, complete=complete)


async def _most_memory(service: Service, reading: list[asyncio.Task[_Read]]) -> float:
    most = 0.0
    while not all(task.done() for task in reading):
        most = max(most, service.memory_mb())
        await asyncio.sleep(0.5)
    return most


async def _one_by_one(dsn: str, key: str) -> list[list[object]]:
    with upstream_serving("--words", "1") as upstream:
        async with _serving(dsn, key, upstream) as service, AsyncOpenAI(base_url=upstream, api_key="none") as direct:
            question = {"question": MadeUpWords(CHUNKS).questions(1)[0]}

            async def searched() -> None:
                (await service.client.post("/v1/search", json=question)).raise_for_status()

            async def answered() -> None:
                (await service.client.post("/v1/answers", json=question)).raise_for_status()

            async def kept() -> None:
                headers = {"Idempotency-Key": uuid4().hex}
                (await service.client.post("/v1/answers", json=question, headers=headers)).raise_for_status()

            async def asked() -> None:
                message = ChatCompletionUserMessageParam(role="user", content=question["question"])
                stream = await direct.chat.completions.create(model="slow", messages=[message], stream=True)
                async for _ in stream:
                    pass

            search, answer, keeping = [await _cpu_each(work, service.cpu_ms) for work in (searched, answered, kept)]
            client = await _cpu_each(asked, lambda: time.process_time() * 1000)
    return [
        ["a search", f"{search:.1f} ms"],
        ["asking the upstream directly, by its client", f"{client:.1f} ms"],
        ["an answer", f"{answer:.1f} ms"],
        ["the same, with an Idempotency-Key", f"{keeping:.1f} ms"],
        ["the gateway itself: answer - search - client", f"{answer - search - client:.1f} ms"],
    ]


async def _cpu_each(work: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> float:
    for _ in range(20):
        await work()
    before = clock()
    for _ in range(_ANSWERS):
        await work()
    return (clock() - before) / _ANSWERS


@contextmanager
def upstream_serving(*options: str) -> Iterator[str]:
    """A scripted upstream as a process of its own, and its base URL."""
    port = _free_port()
    with _process(["-m", "evals.benchmarks.slow_llm", str(port), *options], port, {}):
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def _serving(dsn: str, key: str, upstream: str) -> AsyncIterator[Service]:
    port, many = _free_port(), "5000"
    environment = {
        "PINCITE_DATABASE_URL": dsn,
        "PINCITE_EMBEDDER_PROVIDER": "openai",  # of a name that no server has: searches go by words
        "PINCITE_EMBEDDER_MODEL": "made-up",
        "PINCITE_EMBEDDER_BASE_URL": "http://127.0.0.1:9/v1",
        "PINCITE_RERANKER_PROVIDER": "none",
        "PINCITE_LLM_MODEL": "slow",
        "PINCITE_LLM_BASE_URL": upstream,
        "PINCITE_LLM_CONCURRENCY": many,
        "PINCITE_LLM_DEADLINE": many,
        "PINCITE_LLM_CONNECT_TIMEOUT": many,  # what is measured is not how patient we are with a busy machine
        "PINCITE_LLM_TOKEN_TIMEOUT": many,
        "PINCITE_SEARCH_PATIENCE": many,
        "PINCITE_DATABASE_TIMEOUT": "60",
        "PINCITE_LLM_ASK_FROM": "0",
        "PINCITE_KEEPING_ANSWERS": many,
        "PINCITE_CACHE_ENABLED": "false",  # all ask the same: it would be written once
        "PINCITE_TELEMETRY_ACCESS_LOG": "false",
    }
    ask = httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {key}"},
        timeout=600,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
    )
    serve = ["-c", "from pincite import main; main()", "serve", "--port", str(port)]
    with _process(serve, port, environment) as pid:
        async with ask as client:
            yield Service(pid=pid, client=client)


@contextmanager
def _process(arguments: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    command, inherited = [sys.executable, *arguments], {**os.environ, **environment}
    with subprocess.Popen(command, env=inherited, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own
        try:
            _wait_for(port)
            yield process.pid
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    typer.run(main)
