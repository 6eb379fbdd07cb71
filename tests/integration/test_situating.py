"""What a language model says of where a chunk stands: a chunk is found by it; it is paid for once, and never shown."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.domain import IngestReport
from ingest.generations.building import build, forget_outdated
from ingest.pipeline import Run, ingest
from ingest.recipes import cut_recipe
from ingest.situating.remembering import kept_words
from ingest.situating.situator import PAYER, open_situator
from ingest.sources import Request, select
from ingest.store import open_writer
from retrieval.access import caller, tenant_id
from retrieval.database.store import open_store
from retrieval.domain import Question
from retrieval.engine import open_engine
from retrieval.errors import InvalidSettings
from retrieval.generation.prompting import build_prompt
from retrieval.searching import retrieve
from retrieval.settings import IngestSettings, Settings
from retrieval.spending.budgets import Budget, set_budget
from tests.conftest import on_database
from tests.fakes import WordEmbedder
from tests.generations import MirroredEmbedder, added
from tests.llm_servers.scripted import Script, ScriptedLlm, answer, scripted_llm, slow_drip, status
from tests.unit.test_chunking import prose

ACME = tenant_id("acme")
TEXT = f"# Pumps\n\n{prose(12)}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pumps.md").write_text(TEXT)
    return tmp_path


def on(dsn: str, server: ScriptedLlm, **ingesting: Any) -> Settings:
    usual = on_database(dsn)
    patient = {"token_timeout": 60.0, "deadline": 60.0, "connect_timeout": 30.0}
    return replace(
        usual,
        database=usual.database.model_copy(update={"database_timeout": 60.0}),
        llm=server.settings(**patient),
        ingest=IngestSettings(**{"context_written": True, "context_tokens": 12, **ingesting}),
    )


def ingested(settings: Settings, folder: Path, *, dry_run: bool = False) -> IngestReport:
    dsn, words = str(settings.database.database_url.get_secret_value()), WordEmbedder()  # type: ignore[union-attr]
    with open_situator(dsn, ACME, words, settings) as situator:
        run = Run(
            dsn=dsn,
            tenant=ACME,
            embedder=words,
            settings=settings.ingest,
            situator=situator,
            prune=True,
            dry_run=dry_run,
        )
        return ingest(run, select(Request(paths=(folder,), acl=frozenset({"everyone"}))))


def rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def kept(dsn: str) -> int:
    return int(rows(dsn, "SELECT count(*) FROM chunk_contexts")[0][0])


def first_then(good: int, after: Script) -> Callable[[dict[str, Any]], Script]:
    """So many answers, then something else."""
    asked = iter(range(10**6))
    return lambda _request: answer("The zebra manual.") if next(asked) < good else after


async def test_a_chunk_is_found_by_what_is_said_of_it_and_shown_without(dsn: str, folder: Path) -> None:
    """What the model says is embedded and indexed, bounded and on one line; neither search nor prompt show it."""
    with scripted_llm(answer("The zebra\nmanual \u202e of 1999. " + "And on. " * 30)) as server:
        settings = on(dsn, server)
        report = ingested(settings, folder)
        async with open_engine(replace(settings, llm=on_database(dsn).llm), embedder=WordEmbedder()) as engine:
            found = await retrieve(engine, Question(text="zebra", caller=caller("acme", ()), limit=3))
    assert (report.without_context, len(server.requests)) == (0, report.chunks)
    assert found.passages
    assert all(each.candidate.bm25 > 0 for each in found.passages)
    assert "zebra" not in build_prompt("?", found.passages).user
    for context, tokens in rows(dsn, "SELECT context, token_count FROM chunks"):
        assert context == "Pumps\nThe zebra manual of 1999. And on. And on."
        assert tokens <= WordEmbedder.max_tokens


def test_nothing_is_asked_twice(dsn: str, folder: Path) -> None:
    """A document that is made anew costs no call; a second run over it does nothing."""
    with scripted_llm(answer("The zebra manual.")) as server:
        settings = on(dsn, server)
        first = ingested(settings, folder)
        before = rows(dsn, "SELECT ordinal, context FROM chunks ORDER BY 1")
        assert ingested(settings, folder).unchanged == first.indexed
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE documents SET fingerprint = ''")
        again = ingested(settings, folder)
        assert (again.indexed, len(server.requests)) == (first.indexed, first.chunks)
    assert rows(dsn, "SELECT ordinal, context FROM chunks ORDER BY 1") == before


@pytest.mark.parametrize("fault", [status(500), status(400), answer("", usage=None)])
def test_a_model_that_fails_costs_nothing_but_its_words(dsn: str, folder: Path, fault: Script) -> None:
    """Every chunk is stored, those it failed at with their ordinary context, and counted; the next run asks for these
    alone, and then is content."""
    with scripted_llm(first_then(2, fault)) as server:
        report = ingested(on(dsn, server), folder)
        assert report.without_context == report.chunks - 2 > 0
        assert kept(dsn) == 2
    with scripted_llm(answer("The zebra manual.")) as server:
        # The same model at another address.
        settings = on(dsn, server)
        assert ingested(settings, folder).without_context == 0
        assert len(server.requests) == report.chunks - 2
        assert ingested(settings, folder).indexed == ()
    assert {context for (context,) in rows(dsn, "SELECT context FROM chunks")} == {"Pumps\nThe zebra manual."}


def test_a_budget_ends_the_asking_not_the_run(dsn: str, folder: Path) -> None:
    """Calls are booked for ingesting itself. From the first that its budget refuses on none is made; all is stored."""
    (folder / "gauges.md").write_text(TEXT.replace("Pumps", "Gauges"))
    with scripted_llm(answer("The zebra manual.")) as server:
        settings = on(dsn, server)
        (folder / "first.md").write_text("# First\n\nOne.")
        with only(folder, "first.md"):
            assert ingested(settings, folder).chunks == 1
        asyncio.run(_limited(settings, 1))
        report = ingested(settings, folder)
        assert len(server.requests) == 1
    assert len(report.indexed) == 2
    assert report.without_context == report.chunks
    [(principals, count)] = rows(dsn, "SELECT principals, count(*) FROM spending_calls GROUP BY 1")
    assert (set(principals), count) == ({PAYER, "everyone"}, 1)


@contextmanager
def only(folder: Path, name: str) -> Iterator[None]:
    """The folder with one file for a while."""
    others = [path for path in folder.iterdir() if path.name != name]
    for path in others:
        path.rename(path.with_suffix(".away"))
    yield
    for path in others:
        path.with_suffix(".away").rename(path)


async def _limited(settings: Settings, amount: int) -> None:
    async with open_store(settings.database.database_url.get_secret_value(), settings.database) as store:  # type: ignore[union-attr]
        await set_budget(store, "acme", Budget(principal=PAYER, period="month", unit="tokens", amount=amount))


def test_what_was_said_goes_with_the_text(dsn: str, folder: Path) -> None:
    """A new text takes what was said of the old one away; so does removing the document."""
    with scripted_llm(answer("The zebra manual.")) as server:
        settings = on(dsn, server)
        ingested(settings, folder)
        old = rows(dsn, "SELECT key FROM chunk_contexts")
        (folder / "pumps.md").write_text("# Pumps\n\nNothing is left.")
        ingested(settings, folder)
        new = rows(dsn, "SELECT key FROM chunk_contexts")
        assert len(new) == 1
        assert new[0] not in old
    with open_writer(dsn, ACME) as writer:
        [uri] = writer.known_documents()
        writer.remove(uri)
    assert kept(dsn) == 0


def test_no_more_is_asked_at_once_than_the_model_takes(dsn: str, folder: Path) -> None:
    """However many chunks a document has, none is lost in a line that is full."""
    with scripted_llm(slow_drip("The zebra manual.", 0.05)) as server:
        settings = on(dsn, server)
        narrow = settings.llm.model_copy(update={"concurrency": 2, "waiting": 0})
        assert ingested(replace(settings, llm=narrow), folder).without_context == 0
    assert 1 <= server.most_at_once <= 2


def test_off_by_default_and_dry_runs_ask_nothing(dsn: str, folder: Path) -> None:
    """Without the setting nothing is asked, nor in a run that changes nothing; it makes documents anew once."""
    with scripted_llm(answer("The zebra manual.")) as server:
        off, switched_on = on(dsn, server, context_written=False), on(dsn, server)
        assert ingested(off, folder).indexed
        assert ingested(switched_on, folder, dry_run=True).indexed
        assert server.requests == []
        assert ingested(switched_on, folder).indexed
        assert server.requests


def test_it_needs_a_model(dsn: str, folder: Path) -> None:
    """Asked for without a model to ask, the run is refused before anything is done."""
    settings = replace(on_database(dsn), ingest=IngestSettings(context_written=True))
    with pytest.raises(InvalidSettings, match="PINCITE_LLM_MODEL"):
        ingested(settings, folder)


def test_another_generation_puts_kept_words_to_use(dsn: str, folder: Path) -> None:
    """Built without asking the model: chunks that are cut as before get their words, the document counts as whole;
    without the words it is to be made anew by the next ingest."""
    with scripted_llm(answer("The zebra manual.")) as server:
        settings = on(dsn, server)
        ingested(settings, folder)
        asked = len(server.requests)
        words = kept_words(settings, MirroredEmbedder())
        assert words is not None
        rebuild = replace(added(dsn, "mirrored"), words=words, settings=settings.ingest)
        build(rebuild)
        assert len(server.requests) == asked
        chunks = "SELECT document_id, ordinal, context, text, token_count FROM {}.chunks ORDER BY 1, 2"
        assert rows(dsn, chunks.format("pincite_g2")) == rows(dsn, chunks.format("public"))
        whole = cut_recipe(MirroredEmbedder(), settings.ingest, words.recipe)
        assert rows(dsn, "SELECT recipe FROM pincite_g2.cut_documents") == [(whole,)]
        with psycopg.connect(dsn) as connection:
            connection.execute("DELETE FROM chunk_contexts")
            connection.execute("DELETE FROM pincite_g2.cut_documents")
        build(rebuild)
        assert {context for (context,) in rows(dsn, "SELECT context FROM pincite_g2.chunks")} == {"Pumps"}
        assert rows(dsn, "SELECT recipe FROM pincite_g2.cut_documents") != [(whole,)]
        forget_outdated(rebuild)
        assert build(rebuild) == 0
