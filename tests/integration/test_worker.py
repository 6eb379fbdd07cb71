"""Workers index what waits, in turns, and what one leaves undone another does."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import psycopg

from api.working import working
from ingest.embedding import Configured, embedding
from ingest.generations.building import Rebuild
from ingest.generations.records import open_generations
from ingest.queueing.records import SettledRevision
from ingest.queueing.turns import Workshop
from ingest.queueing.worker import work
from retrieval.access import tenant_id
from retrieval.database.generations import Generation
from retrieval.engine import open_engine
from retrieval.errors import EmbedderUnavailable
from retrieval.models.protocols import Embedder, Vectors
from retrieval.serving import opening_of
from retrieval.settings import EmbedderSettings
from retrieval.stopping import stopped
from tests.conftest import on_database
from tests.fakes import WordEmbedder
from tests.generations import added, configured, moved, opened, rebuild_of
from tests.queues import hand_in, rows, states, submission, texts, turn, waiting_turns, workshop

BETA = tenant_id("beta")


@asynccontextmanager
async def at_work(shop: Workshop) -> AsyncIterator[None]:
    """A worker in this process."""
    worker = asyncio.create_task(work(shop))
    try:
        yield
    finally:
        shop.stopping.set()
        await stopped(worker)
    assert worker.cancelled()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns when the condition holds."""
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.05)


def settled(dsn: str) -> bool:
    return bool(rows(dsn, "SELECT 1 FROM jobs")) and not rows(dsn, "SELECT 1 FROM jobs WHERE finished_at IS NULL")


async def test_a_worker_hears_of_what_is_handed_in(dsn: str) -> None:
    """What is handed in while a worker is there is indexed, and nothing of the turns is left behind."""
    async with at_work(workshop(dsn)):
        await until(lambda: bool(rows(dsn, "SELECT 1 FROM procrastinate_workers")))
        for number in range(3):
            await asyncio.to_thread(hand_in, dsn, submission(f"{number}.txt"))
        await until(lambda: settled(dsn))
        # A turn may still wait that was asked for while the one before had the last document in hand.
        await until(lambda: not rows(dsn, "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'turn'"))
    assert set(states(dsn).values()) == {"indexed"}
    assert rows(dsn, "SELECT * FROM procrastinate_workers") == []


async def test_without_an_embedder_documents_say_what_they_wait_for(dsn: str) -> None:
    """The worker inside the API is there all the same: webhooks are told, and what is handed in is not silent."""

    def load(_settings: EmbedderSettings) -> Embedder:
        raise EmbedderUnavailable("not downloaded yet")

    settings = on_database(dsn)
    settings = replace(settings, worker=settings.worker.model_copy(update={"inside": True}))
    async with open_engine(settings, load=load) as engine, working(settings, engine):
        await asyncio.to_thread(hand_in, dsn, submission("pump.txt"))
        await until(lambda: rows(dsn, "SELECT error_code FROM revisions") == [("embedder_unavailable",)])
    assert states(dsn) == {"pump.txt": "queued"}


async def test_a_long_line_does_not_delay_another_tenants_document(dsn: str) -> None:
    """One document of a tenant is indexed before the second turn of one that had 300 waiting long before."""
    hand_in(dsn, *(submission(f"{number}.txt", f"Rule {number} of many.") for number in range(300)))
    hand_in(dsn, submission("one.txt"), tenant=BETA)
    told: list[SettledRevision] = []
    shop = workshop(dsn, told=told)
    hasty = shop.worker.model_copy(update={"turn_seconds": 0.001, "turns": 1})
    async with at_work(replace(shop, worker=hasty)):
        await until(lambda: settled(dsn))
    place = [revision.uri for revision in told].index("one.txt")
    assert (place, len(told)) == (64, 301)


def test_turns_leave_the_threads_of_the_loop_to_others(dsn: str) -> None:
    """A worker beside the API asks it for its model, which is loaded in a thread: turns do not hold all of them."""

    async def worked() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))

        def load() -> Embedder:
            return asyncio.run_coroutine_threadsafe(asyncio.to_thread(WordEmbedder), loop).result(60)

        made = workshop(dsn)
        hand_in(dsn, submission("pump.txt"))
        hand_in(dsn, submission("pump.txt"), tenant=BETA)
        turns = threading.Barrier(2)

        def embedding_of_the_api() -> tuple[Embedder, Generation]:
            turns.wait(60)  # both hold their threads now
            return embedding(dsn, lambda _live: load())()

        async with at_work(replace(made, embedding=embedding_of_the_api)):
            await until(lambda: settled(dsn))

    asyncio.run(worked())
    assert states(dsn) == {"pump.txt": "indexed"}


async def test_workers_share_a_line(dsn: str) -> None:
    """Two workers on one tenant's line index each document once, both of them some: neither goes on with its first
    before the other has one."""
    job = hand_in(dsn, *(submission(f"{number}.txt", f"Rule {number} of many.") for number in range(300))).job_id
    meet = threading.Barrier(2)

    class Meeting(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if not self.embedded:
                meet.wait()
            return super().embed_documents(texts)

    def shop(embedder: Meeting) -> Workshop:
        made = workshop(dsn, embedder)
        # One turn each: two turns of one worker would meet each other. A machine that stalls loses no worker.
        return replace(made, worker=made.worker.model_copy(update={"turns": 1, "lost_after": 600.0}))

    embedders = Meeting(), Meeting()
    async with at_work(shop(embedders[0])), at_work(shop(embedders[1])):
        try:
            await until(lambda: settled(dsn), seconds=300)
        finally:
            meet.abort()
    assert all(embedder.embedded for embedder in embedders)
    assert sum(len(embedder.embedded) for embedder in embedders) == 300
    assert rows(dsn, "SELECT indexed FROM jobs WHERE job_id = %s", job) == [(300,)]
    assert rows(dsn, "SELECT DISTINCT version FROM documents") == [(1,)]


async def test_a_worker_outlives_its_database_going_away(dsn: str) -> None:
    """All connections cut: the worker begins anew and indexes what is handed in then."""
    async with at_work(workshop(dsn)):
        await until(lambda: bool(rows(dsn, "SELECT 1 FROM procrastinate_workers")))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s"
        rows(dsn, cut, psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
        await asyncio.to_thread(hand_in, dsn, submission())
        await until(lambda: settled(dsn))
    assert states(dsn) == {"pump.txt": "indexed"}


STUCK = """
import sys, time
from tests.fakes import WordEmbedder
from tests.integration.test_worker import work
from tests.queues import workshop
import asyncio

class Stuck(WordEmbedder):
    def embed_documents(self, texts):
        print("embedding", flush=True)
        time.sleep(600)

asyncio.run(work(workshop(sys.argv[1], Stuck())))
"""


async def test_what_a_killed_worker_held_is_done_by_another(dsn: str) -> None:
    """Killed while it embeds: another worker notices its silence and indexes the document, once."""
    hand_in(dsn, submission())
    lost = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", STUCK, dsn], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert lost.stdout is not None
        assert await asyncio.to_thread(lost.stdout.readline) == b"embedding\n"
    finally:
        os.killpg(lost.pid, signal.SIGKILL)
        lost.communicate()
    shop = workshop(dsn)
    async with at_work(replace(shop, worker=shop.worker.model_copy(update={"lost_after": 1.0}))):
        await until(lambda: settled(dsn))
    assert (states(dsn), len(texts(dsn))) == ({"pump.txt": "indexed"}, 1)
    assert rows(dsn, "SELECT losses, attempts FROM revisions") == [(1, 2)]


def test_the_command_works_until_it_is_told_to_stop(dsn: str) -> None:
    """`pincite worker` indexes with the real model, ends on SIGTERM with exit code 0, and `pincite jobs` tells."""
    job = hand_in(dsn, submission()).job_id
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PINCITE_DATABASE_URL": dsn, "PINCITE_WORKER_METRICS_PORT": str(port)}
    pincite = Path(sys.executable).with_name("pincite")
    worker = subprocess.Popen([pincite, "worker"], env=environment)
    try:
        end = time.monotonic() + 120
        while not settled(dsn):
            assert time.monotonic() < end
            time.sleep(0.1)
        while "pincite_document_visible_seconds_count 1.0" not in httpx2.get(f"http://127.0.0.1:{port}/metrics").text:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    shown = subprocess.run(
        [pincite, "jobs", "show", "--tenant", "acme", str(job)], env=environment, capture_output=True, text=True
    )
    assert "succeeded: indexed 1" in shown.stdout
    assert "pump.txt indexed (attempts 1)" in shown.stdout


def test_a_worker_follows_the_index_to_another_model(dsn: str) -> None:
    """What is handed in after the index moved is embedded by the model that is live then, without a restart."""
    shop = replace(workshop(dsn), embedding=embedding(dsn, Configured(configured("words"), opened)))
    hand_in(dsn, submission("before.txt"))
    turn(shop)
    moved(added(dsn, "strange"))
    hand_in(dsn, submission("after.txt"))
    turn(shop)
    assert states(dsn) == {"before.txt": "indexed", "after.txt": "indexed"}
    assert rows(dsn, "SELECT DISTINCT vector_dims(embedding) FROM pincite_g2.embeddings") == [(96,)]
    assert rows(dsn, "SELECT count(*) FROM pincite_g2.cut_documents") == [(2,)]


def test_a_worker_follows_the_index_to_longer_chunks(dsn: str) -> None:
    """The same model, asked for longer chunks by `reembed`: the worker cuts as the index is cut, not as configured."""

    def measured(settings: EmbedderSettings) -> Embedder:
        embedder = WordEmbedder()
        embedder.max_tokens = settings.max_tokens
        return embedder

    shop = replace(workshop(dsn), embedding=embedding(dsn, Configured(configured("words"), measured)))
    hand_in(dsn, submission("before.txt"))
    turn(shop)
    with open_generations(dsn) as generations:
        generations.record_opening(opening_of(configured("words")))
        longer = configured("words").model_copy(update={"max_tokens": 512})
        generation = generations.add(measured(longer), opening_of(longer))
    moved(rebuild_of(dsn, generation, measured(longer)))
    hand_in(dsn, submission("after.txt"))
    turn(shop)
    assert states(dsn) == {"before.txt": "indexed", "after.txt": "indexed"}
    recipes = rows(dsn, "SELECT DISTINCT recipe FROM pincite_g2.cut_documents")
    assert [recipe.split("|")[2] for (recipe,) in recipes] == ["512"]


def test_a_move_in_the_middle_of_a_turn_settles_nothing(dsn: str) -> None:
    """Documents that were embedded by the model of before wait again, and the next turn takes the new one."""

    class Moving(WordEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> Vectors:
            if armed:
                moved(armed.pop())
            return super().embed_documents(texts)

    armed: list[Rebuild] = []
    moving = Configured(
        configured("words"), lambda settings: Moving() if settings.model == "words" else opened(settings)
    )
    shop = replace(workshop(dsn), embedding=embedding(dsn, moving))
    hand_in(dsn, submission("before.txt"))
    turn(shop)
    armed.append(added(dsn, "strange"))
    hand_in(dsn, submission("meanwhile.txt"))
    turn(shop)
    assert states(dsn)["meanwhile.txt"] == "queued"
    assert waiting_turns(dsn)
    turn(shop, turn_id=2)
    assert states(dsn)["meanwhile.txt"] == "indexed"
    assert rows(dsn, "SELECT DISTINCT vector_dims(embedding) FROM pincite_g2.embeddings") == [(96,)]
