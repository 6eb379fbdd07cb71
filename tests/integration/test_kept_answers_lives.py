"""The lives of kept answers: documents change under them, readers leave, processes die, time passes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from ingest.pipeline import ingest
from ingest.sources import Request, select
from ingest.store import open_writer
from retrieval.access import tenant_id
from retrieval.keys import create_key
from retrieval.settings import Settings
from tests.conftest import ingest_folder, new_database, run_of
from tests.e2e.corpus import PUBLIC, TENANT, Keys, fill
from tests.e2e.standing import events_of
from tests.fakes import WordEmbedder
from tests.integration.test_api_serve import serving
from tests.kept_answers import GATE, WORDS, Process, after, ids_of, process
from tests.llm_servers.scripted import ScriptedLlm, answer, calling, hang_midway, scripted_llm, slow_drip

SOON = 30.0
HANGS = hang_midway("The north gate closes at eight in the evening [1]. And")


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A database with the small corpus, its keys, and the folder its public documents came from."""

    dsn: str
    keys: Keys
    folder: Path

    def ingest(self, acl: str = "everyone", **metadata: Any) -> None:
        """Ingests the public folder as it is now."""
        request = Request(paths=(self.folder,), acl=frozenset({acl}), metadata=metadata)
        settings = Settings().ingest.model_copy(update={"index_from": 0})
        run = run_of(self.dsn, WordEmbedder(), TENANT, settings=settings, prune=True)
        ingest(run, select(request))

    def rows(self, table: str) -> int:
        with psycopg.connect(self.dsn) as connection:
            [count] = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608
            return int(count)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement)


@pytest.fixture(scope="module")
def filled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    for created in new_database(server):
        folder = tmp_path_factory.mktemp("corpus")
        yield Corpus(dsn=created, keys=fill(created, WordEmbedder(), folder), folder=folder / "public")


@pytest.fixture
def corpus(filled: Corpus) -> Iterator[Corpus]:
    """The corpus, with no answer kept."""
    yield filled
    filled.execute("DELETE FROM kept_answers")


@pytest.fixture
def restored(corpus: Corpus) -> Iterator[None]:
    """Whatever the test does to the documents, the next one finds them as they were."""
    yield
    for name, text in PUBLIC.items():
        (corpus.folder / name).write_text(text)
    corpus.ingest()


@pytest.fixture
def llm() -> Iterator[ScriptedLlm]:
    with scripted_llm(answer(WORDS)) as server:
        yield server


def _removed(corpus: Corpus) -> None:
    (corpus.folder / "gate.md").unlink()
    corpus.ingest()


def _rewritten(corpus: Corpus) -> None:
    (corpus.folder / "gate.md").write_text("# Gate\n\n## Hours\n\nThe north gate closes at six now.\n")
    corpus.ingest()


def _replaced_by_its_like(corpus: Corpus) -> None:
    _removed(corpus)
    (corpus.folder / "gate.md").write_text("# Gate\n\n## Hours\n\nThe north gate closes at six now.\n")
    corpus.ingest()  # its version is 1 again


def _hidden(corpus: Corpus) -> None:
    corpus.ingest(acl="group:hr")


@pytest.mark.usefixtures("restored")
async def test_what_a_list_of_documents_named_does_not_come_out_again_either(corpus: Corpus, llm: ScriptedLlm) -> None:
    """A document that the answer may only have named is taken away: the key does not bring its name back."""
    llm.scripts = [calling(("list_documents", "{}")), answer(f"There is one called Harbour. {WORDS}")]
    more: dict[str, Any] = {"limit": 1, "tools": ["list_documents"]}
    async with process(corpus.dsn, llm) as here:
        first = await here.ask(corpus.keys.plain, stream=False, **more)
        assert {passage["title"] for passage in first.json()["passages"]} == {"Gate"}
        await _at_rest(corpus, here)
        (harbour,) = (path for path in corpus.folder.iterdir() if path.name.startswith("harbour"))
        harbour.unlink()
        corpus.ingest()
        again = await here.ask(corpus.keys.plain, **more)
    assert (again.status_code, again.json()["error"]["code"]) == (410, "answer_withdrawn")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("change", [_removed, _rewritten, _replaced_by_its_like, _hidden])
async def test_what_was_taken_away_does_not_come_out_again(
    corpus: Corpus, llm: ScriptedLlm, change: Callable[[Corpus], None]
) -> None:
    """A document the answer showed is deleted, rewritten or hidden: neither the key nor an event brings it back."""
    async with process(corpus.dsn, llm) as here:
        first = await here.ask(corpus.keys.plain)
        await _at_rest(corpus, here)
        change(corpus)
        again = await here.ask(corpus.keys.plain)
        resumed = await here.resume(corpus.keys.plain, first.headers["x-answer-id"], ids_of(first.text)[0])
        other_key = await here.ask(corpus.keys.plain, "another key")
    for refused in (again, resumed):
        assert (refused.status_code, refused.json()["error"]["code"]) == (410, "answer_withdrawn")
    assert other_key.status_code == 200


@pytest.mark.usefixtures("restored")
async def test_what_still_stands_still_comes_out(corpus: Corpus, llm: ScriptedLlm) -> None:
    """Other metadata, wider permissions, or a change of a document that the answer does not show take nothing away."""
    async with process(corpus.dsn, llm) as here:
        first = await here.ask(corpus.keys.plain, limit=1)
        await _at_rest(corpus, here)
        corpus.ingest(acl="user:ada", reviewed=True)
        (corpus.folder / "walrus.md").write_text("The walrus is green.\n")
        corpus.ingest()
        assert (await here.ask(corpus.keys.plain, limit=1)).text == first.text


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("change", [_removed, _rewritten])
async def test_the_words_go_in_the_documents_own_transaction(
    corpus: Corpus, llm: ScriptedLlm, change: Callable[[Corpus], None]
) -> None:
    """When the ingest run has ended, nothing of the answer is left in the database but that it was withdrawn."""
    async with process(corpus.dsn, llm) as here:
        await here.ask(corpus.keys.plain)
        await _at_rest(corpus, here)
        assert corpus.rows("kept_events") > 0
        change(corpus)
        assert corpus.rows("kept_events") == 0


@pytest.mark.usefixtures("restored")
async def test_a_follower_elsewhere_is_cut_off_when_a_document_goes(corpus: Corpus) -> None:
    """While the answer is still being written: what it reads next is checked as well."""
    with scripted_llm(HANGS) as llm:
        async with process(corpus.dsn, llm) as here, process(corpus.dsn, llm, served=True) as there:
            writing = asyncio.create_task(here.ask(corpus.keys.plain))
            await _until(lambda: corpus.rows("kept_answers") == 1)
            async with _following(there, corpus.keys.plain) as reader:
                await reader.until("event: citation")
                await asyncio.to_thread(_removed, corpus)
                seen = await reader.until("event: error")
            assert events_of(seen)[-1][1]["error"]["code"] == "answer_withdrawn"
            writing.cancel()


async def test_an_answer_is_written_on_for_a_reader_who_comes_back(corpus: Corpus) -> None:
    """Its client hangs up in the middle and takes the rest up elsewhere: generated once, not a byte lost or doubled."""
    with scripted_llm(slow_drip(f"{WORDS} {WORDS}", 0.05)) as llm:
        async with process(corpus.dsn, llm, served=True) as here, process(corpus.dsn, llm) as there:
            async with _following(here, corpus.keys.plain) as reader:
                seen = await reader.until("event: text")
            answer_id, last = reader.answer_id, ids_of(seen)[-1]
            rest = await there.resume(corpus.keys.plain, answer_id, last)
            whole = await here.resume(corpus.keys.plain, answer_id)
        assert rest.text == after(whole.text, last)
        assert events_of(whole.text)[-1][0] == "finished"
        assert (len(llm.requests), llm.disconnects) == (1, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_nobody_reads_ends(corpus: Corpus, stream: bool) -> None:
    """After the grace its upstream call is closed, and asked again with the key it is written anew."""
    with scripted_llm(HANGS, answer(WORDS)) as llm:
        async with process(corpus.dsn, llm, served=True, grace=0.1) as here:
            asking = asyncio.create_task(here.ask(corpus.keys.plain, stream=stream))
            await _until(lambda: llm.at_once == 1)
            asking.cancel()
            assert await asyncio.to_thread(llm.wait_for, lambda server: server.disconnects == 1, SOON)
            await _at_rest(corpus, here)
            assert (await here.ask(corpus.keys.plain, stream=stream)).status_code == 200
        assert len(llm.requests) == 2


async def test_a_reader_at_another_process_keeps_it_alive(corpus: Corpus) -> None:
    """The first client leaves; long after the grace the second one, elsewhere, still gets all of it."""
    with scripted_llm(slow_drip(f"{WORDS} {WORDS}", 0.25)) as llm:
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(process(corpus.dsn, llm, served=True, grace=3))
            there = await stack.enter_async_context(process(corpus.dsn, llm, grace=3))
            async with _following(here, corpus.keys.plain) as reader:
                await reader.until("event: passages")
                second = asyncio.create_task(there.ask(corpus.keys.plain))
                await _until(lambda: corpus.rows("kept_answers WHERE followed_until > now()") == 1)
            assert events_of((await second).text)[-1][0] == "finished"
        assert (len(llm.requests), llm.disconnects) == (1, 0)


async def test_twenty_readers_at_any_time_read_the_same(corpus: Corpus) -> None:
    """They come one after another, at two processes, while it is written and when it is."""
    with scripted_llm(slow_drip(WORDS, 0.05)) as llm:
        async with process(corpus.dsn, llm) as here, process(corpus.dsn, llm) as there:

            async def read(number: int) -> str:
                await asyncio.sleep(number * 0.05)
                return (await (here, there)[number % 2].ask(corpus.keys.plain)).text

            texts = await asyncio.gather(*map(read, range(20)))
        assert len(set(texts)) == 1
        assert len(llm.requests) == 1


async def test_a_stopping_process_says_so_to_readers_elsewhere(corpus: Corpus) -> None:
    """They need not wait for its lease to end, and the key is free at once."""
    with scripted_llm(HANGS, answer(WORDS)) as llm:
        async with process(corpus.dsn, llm, lease=60, served=True) as there, process(corpus.dsn, llm, lease=60) as here:
            writing = asyncio.create_task(here.ask(corpus.keys.plain))
            await _until(lambda: corpus.rows("kept_answers") == 1)
            async with _following(there, corpus.keys.plain) as reader:
                seen = await reader.until("event: text")
                await here.app.state.kept.close()
                seen = await reader.until("event: error")
            assert events_of(seen)[-1][1]["error"]["code"] == "answer_interrupted"
            assert events_of((await writing).text)[-1][0] == "error"
            assert events_of((await there.ask(corpus.keys.plain)).text)[-1][0] == "finished"


async def test_a_killed_process_leaves_a_clear_error_and_a_free_key(corpus: Corpus) -> None:
    """kill -9 in the middle: a reader elsewhere is told, once the lease is over; the next attempt is a new answer."""
    with scripted_llm(HANGS, answer(WORDS)) as llm:
        upstream = {"PINCITE_LLM_MODEL": "scripted", "PINCITE_LLM_BASE_URL": llm.base_url}
        with serving(corpus.dsn, **upstream, PINCITE_KEEPING_LEASE="60", PINCITE_KEEPING_FLUSH="0.05") as (child, url):
            to_it = httpx2.AsyncClient(base_url=url, timeout=60)
            async with process(corpus.dsn, llm, served=True) as here, to_it as client:
                doomed = Process(app=here.app, client=client)
                async with _following(doomed, corpus.keys.plain) as reader:
                    await reader.until("event: citation")
                    async with _following(here, corpus.keys.plain) as elsewhere:
                        seen = await elsewhere.until("event: citation")
                        os.kill(child.pid, signal.SIGKILL)
                        await asyncio.to_thread(child.wait)
                        # In a thread, for a row that a transaction in this loop may hold just now.
                        await asyncio.to_thread(corpus.execute, "UPDATE kept_answers SET lease_until = now()")
                        seen = await elsewhere.until("event: error")
                assert events_of(seen)[-1][1]["error"]["code"] == "answer_interrupted"
                again = await here.ask(corpus.keys.plain)
    assert events_of(again.text)[-1][0] == "finished"
    assert again.headers["x-answer-id"] != elsewhere.answer_id
    assert len(llm.requests) == 2


async def test_an_expired_answer_is_gone(corpus: Corpus, llm: ScriptedLlm) -> None:
    """Its events are there for nobody, its key is free, and the next answer takes its rows away."""
    async with process(corpus.dsn, llm) as here:
        first = await here.ask(corpus.keys.plain)
        await here.ask(corpus.keys.plain, "another key")
        await _at_rest(corpus, here)
        corpus.execute("UPDATE kept_answers SET expires_at = now()")
        assert (await here.resume(corpus.keys.plain, first.headers["x-answer-id"])).status_code == 404
        again = await here.ask(corpus.keys.plain)
        assert again.headers["x-answer-id"] != first.headers["x-answer-id"]
        await _until(lambda: corpus.rows("kept_answers") == 1)
    assert len(llm.requests) == 3


async def test_a_tenant_has_its_share(corpus: Corpus, llm: ScriptedLlm) -> None:
    """Beyond it the oldest answers go."""
    async with process(corpus.dsn, llm, answers=3) as here:
        answers = list[httpx2.Response]()
        for number in range(6):
            answers.append(await here.ask(corpus.keys.plain, f"k{number}"))
            await _at_rest(corpus, here)
        assert corpus.rows("kept_answers") == 3
        assert (await here.resume(corpus.keys.plain, answers[0].headers["x-answer-id"])).status_code == 404
        assert (await here.resume(corpus.keys.plain, answers[5].headers["x-answer-id"])).text == answers[5].text


async def test_an_endless_answer_is_ended(corpus: Corpus) -> None:
    """What takes more room than an answer is given ends with an error, and frees its key."""
    with scripted_llm(answer(["word " * 500] * 100)) as llm:
        async with process(corpus.dsn, llm, max_bytes=64 * 1024) as here:
            broken = await here.ask(corpus.keys.plain)
    assert events_of(broken.text)[-1][1]["error"]["code"] == "answer_interrupted"
    assert len(broken.text) < 80 * 1024


async def test_another_tenants_writer_takes_nothing_away(corpus: Corpus, llm: ScriptedLlm, tmp_path: Path) -> None:
    """A document of the same name in another tenant is another document."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "gate.md").write_text("# Gate\n\nOurs is always open.\n")
    async with process(corpus.dsn, llm) as here:
        first = await here.ask(corpus.keys.plain)
        await _at_rest(corpus, here)
        request = Request(paths=(tmp_path / "public",), acl=frozenset({"everyone"}))
        ingest_folder(corpus.dsn, WordEmbedder(), "globex", request)
        with open_writer(corpus.dsn, tenant_id("globex")) as writer:
            writer.remove("public/gate.md")
        assert (await here.ask(corpus.keys.plain)).text == first.text


async def test_a_tenant_whose_answers_cannot_be_written_holds_up_no_other(corpus: Corpus, tmp_path: Path) -> None:
    """While a row of one tenant's is held, as by a long ingest, another one's answer is put down all the same."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "gate.md").write_text(PUBLIC["gate.md"])
    request = Request(paths=(tmp_path / "public",), acl=frozenset({"everyone"}))
    ingest_folder(corpus.dsn, WordEmbedder(), "other", request)
    other = create_key(corpus.dsn, tenant_id("other"), "other", {"query"}, {"user:ada"})
    with scripted_llm(slow_drip(f"{WORDS} " * 30, 0.2), answer(WORDS)) as llm:
        async with process(corpus.dsn, llm, lease=9.0) as here:
            dripping = asyncio.create_task(here.ask(corpus.keys.plain))
            try:
                await _until(lambda: bool(corpus.rows("kept_events")))
                with psycopg.connect(corpus.dsn) as connection:
                    held = (
                        "SELECT answer_id FROM kept_answers WHERE tenant_id = 'acme' AND state = 'running' FOR UPDATE"
                    )
                    # In a thread: the writer, in this loop, may hold the row just now.
                    found = await asyncio.to_thread(connection.execute, held)
                    assert len(found.fetchall()) == 1
                    await asyncio.sleep(4)  # by then the writer wants to renew its lease, and waits for that row
                    await here.ask(other)
                    written = "kept_answers WHERE tenant_id = 'other' AND state = 'finished'"
                    await _until(lambda: bool(corpus.rows(written)))
            finally:
                dripping.cancel()


class Reader:
    """A client in the middle of an answer."""

    def __init__(self, response: httpx2.Response) -> None:
        self.answer_id = response.headers["x-answer-id"]
        self.seen = ""
        self._lines = response.aiter_lines()

    async def until(self, wanted: str) -> str:
        """All that has come, as soon as an event that holds this has come whole."""
        async with asyncio.timeout(SOON):
            async for line in self._lines:
                self.seen += f"{line}\n"
                if not line and wanted in self.seen:
                    return self.seen
        raise AssertionError(self.seen)


@asynccontextmanager
async def _following(at: Process, key: str) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k1"}
    async with at.client.stream("POST", "/v1/answers", json=GATE, headers=headers) as response:
        yield Reader(response)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - it is another process's, or the database's
            await asyncio.sleep(0.02)


async def _at_rest(corpus: Corpus, here: Process) -> None:
    """Returns when nothing is being written here any more."""
    await _until(lambda: not here.app.state.kept._running and not corpus.rows("kept_answers WHERE state = 'running'"))
