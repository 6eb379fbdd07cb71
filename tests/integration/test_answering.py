"""The query path with its parts really broken: it degrades, says so, and never shows what it should not."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest

from ingest.sources import Request
from retrieval.access import caller
from retrieval.answering import answer
from retrieval.domain import (
    AnswerEvent,
    AnswerFailed,
    AnswerFinished,
    CitationFound,
    Degradation,
    PassagesFound,
    Question,
    TextDelta,
)
from retrieval.engine import Engine, open_engine
from retrieval.errors import InvalidQuestion, StoreUnavailable
from retrieval.models.sentence_transformer import SentenceTransformerEmbedder
from retrieval.readiness import readiness
from retrieval.reading import read_document
from retrieval.searching import retrieve
from retrieval.settings import RerankerSettings
from tests.conftest import ingest_folder, new_database, on_database
from tests.fakes import OverlapReranker, WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm

PUMP = "The red pump needs oil every week. Its filter lasts ninety days."
BOARD = "The red pump code word is albatross and only the board knows it."


@pytest.fixture(scope="module")
def pumps(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two documents on red pumps, one of them for the board."""
    folder = tmp_path_factory.mktemp("pumps")
    (folder / "pump.md").write_text(f"# Pumps\n\n{PUMP}\n")
    (folder / "board").mkdir()
    (folder / "board" / "secret.md").write_text(f"# Board\n\n{BOARD}\n")
    for dsn in new_database(server):
        words = WordEmbedder()
        ingest_folder(dsn, words, "acme", Request(paths=(folder / "pump.md",), acl=frozenset({"group:eng"})))
        ingest_folder(dsn, words, "acme", Request(paths=(folder / "board",), acl=frozenset({"group:board"})))
        yield dsn


@asynccontextmanager
async def opened(dsn: str, llm: ScriptedLlm | None = None, **fast: float) -> AsyncIterator[Engine]:
    settings = on_database(dsn)
    if llm is not None:
        settings = replace(settings, llm=llm.settings(**fast))
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        yield engine


def asked(text: str = "How often does the red pump need oil?", *principals: str) -> Question:
    return Question(text=text, caller=caller("acme", principals or ("group:eng",)), limit=5)


async def told(engine: Engine, question: Question) -> list[AnswerEvent]:
    return [event async for event in answer(engine, question)]


def finished(events: list[AnswerEvent]) -> AnswerFinished:
    last = events[-1]
    assert isinstance(last, AnswerFinished), last
    return last


async def test_without_an_llm_the_answer_is_quoted(pumps: str) -> None:
    """Sentences word for word, each cited, each citation the stored text at its span; nothing counts as degraded."""
    async with opened(pumps) as engine:
        events = await told(engine, asked())
        assert isinstance(events[0], PassagesFound)
        end = finished(events)
        assert "The red pump needs oil every week. [1]" in end.text
        assert end.answered_by == "extractive"
        assert end.degraded == ()
        assert end.text == "".join(event.text for event in events if isinstance(event, TextDelta))
        for citation in end.citations:
            document = await read_document(engine, asked().caller, citation.document_id)
            assert document.text[citation.char_start : citation.char_end] == citation.quote


async def test_an_llm_answer_is_checked_while_it_streams(pumps: str) -> None:
    """Good markers become citations; a passage that was not shown and words that are not there are taken out."""
    text = 'It "needs oil every week" [1]. It "needs gold every day" [1]. See also [7].'
    with scripted_llm(scripted.answer(text)) as llm:
        async with opened(pumps, llm) as engine:
            end = finished(await told(engine, asked()))
    assert end.answered_by == llm.settings().model
    assert [citation.quote for citation in end.citations] == ["needs oil every week"]
    assert end.rejected_citations == 2
    assert "[7]" not in end.text
    assert end.usage is not None
    assert not end.usage.estimated


@pytest.mark.parametrize(
    "fault",
    [
        scripted.status(500),
        scripted.status(401),
        scripted.loading(),
        scripted.empty(),
        scripted.hang_before_first_token(),
    ],
    ids=["500", "401", "loading", "empty", "hang"],
)
async def test_an_llm_that_gives_way_is_replaced_by_quoting(pumps: str, fault: scripted.Script) -> None:
    """Before its first word, any failure of the LLM leads to the quoted answer, declared."""
    with scripted_llm(fault) as llm:
        async with opened(pumps, llm, retries=0, token_timeout=0.3) as engine:
            end = finished(await told(engine, asked()))
    assert "The red pump needs oil every week. [1]" in end.text
    assert end.degraded == (Degradation.LLM_UNAVAILABLE,)
    assert end.answered_by == "extractive"


async def test_an_llm_cut_off_midway_is_not_begun_again(pumps: str) -> None:
    """After the first word nothing is retried or replaced: the stream ends with an error event."""
    with scripted_llm(scripted.cut_midway("The red pump needs")) as llm:
        async with opened(pumps, llm, retries=0) as engine:
            events = await told(engine, asked())
        assert len(llm.requests) == 1
    assert isinstance(events[-1], AnswerFailed)
    assert events[-1].code == "llm_interrupted"
    assert any(isinstance(event, TextDelta) for event in events)


async def test_a_document_revoked_while_the_llm_writes_is_not_cited(pumps: str) -> None:
    """Visible means visible now: a citation is checked when it is made, not when the passage was found."""
    with scripted_llm(scripted.answer("It needs oil every week [1]. Weekly oil [1].")) as llm:
        async with opened(pumps, llm) as engine:
            events = answer(engine, asked())
            assert isinstance(await anext(events), PassagesFound)
            with psycopg.connect(pumps) as connection:
                connection.execute("UPDATE documents SET acl = '{group:nobody}' WHERE uri = 'pump.md'")
            try:
                rest = [event async for event in events]
            finally:
                with psycopg.connect(pumps) as connection:
                    connection.execute("UPDATE documents SET acl = '{group:eng}' WHERE uri = 'pump.md'")
    assert not any(isinstance(event, CitationFound) for event in rest)
    assert finished(rest).rejected_citations == 2


async def test_a_document_rewritten_while_the_llm_writes_is_not_misquoted(pumps: str) -> None:
    """A citation whose words no longer stand at its span is taken out: it would point at other words."""
    with scripted_llm(scripted.answer("It needs oil every week [1].")) as llm:
        async with opened(pumps, llm) as engine:
            events = answer(engine, asked())
            await anext(events)
            with psycopg.connect(pumps) as connection:
                connection.execute("UPDATE documents SET content = 'New: ' || content WHERE uri = 'pump.md'")
            rest = [event async for event in events]
            with psycopg.connect(pumps) as connection:
                connection.execute("UPDATE documents SET content = substr(content, 6) WHERE uri = 'pump.md'")
    assert not any(isinstance(event, CitationFound) for event in rest)


async def test_a_hung_database_is_given_up(pumps: str) -> None:
    """A server that neither answers nor hangs up costs a question its time-out, not for ever."""
    settings = on_database(pumps)
    settings = replace(settings, database=settings.database.model_copy(update={"database_timeout": 0.5}))
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        await retrieve(engine, asked())
        with psycopg.connect(pumps) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        backends = [int(row[0]) for row in rows]
        assert backends
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await retrieve(engine, asked())
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)


async def test_an_answer_without_a_holding_citation_is_declared(pumps: str) -> None:
    """What the LLM says without a source is not called an answer."""
    with scripted_llm(scripted.answer("The pump was built by Elvis [7].")) as llm:
        async with opened(pumps, llm) as engine:
            end = finished(await told(engine, asked()))
    assert end.outcome == "unsupported"
    assert end.citations == ()


async def test_an_embedder_that_dies_while_answering_is_declared(pumps: str) -> None:
    """Also when it gives way after the passages were found: the quoted answer was then chosen by words alone."""
    async with opened(pumps) as engine:
        assert isinstance(engine.embedder, WordEmbedder)
        events = answer(engine, asked())
        await anext(events)
        engine.embedder.broken = True
        end = finished([event async for event in events])
    assert end.degraded == (Degradation.EMBEDDER_UNAVAILABLE,)


async def test_a_dead_embedder_leaves_the_words(pumps: str) -> None:
    """Without an embedder the passages are found by full-text search, declared."""
    async with opened(pumps) as engine:
        assert isinstance(engine.embedder, WordEmbedder)
        engine.embedder.broken = True
        found = await retrieve(engine, asked())
        assert [ranked.passage.uri for ranked in found.passages] == ["pump.md"]
        assert found.degraded == (Degradation.EMBEDDER_UNAVAILABLE,)
        end = finished(await told(engine, asked()))
        assert Degradation.EMBEDDER_UNAVAILABLE in end.degraded
        assert end.outcome == "answered"


async def test_a_dead_reranker_leaves_the_fused_order(pumps: str) -> None:
    """With the reranker failing, the fused order stands, declared; working, it is not mentioned."""
    reranker = OverlapReranker()
    async with open_engine(on_database(pumps), embedder=WordEmbedder(), reranker=reranker) as engine:
        question = asked("red pump", "group:eng", "group:board")
        working = await retrieve(engine, question)
        assert working.degraded == ()
        scores = [ranked.rerank_score for ranked in working.passages if ranked.rerank_score is not None]
        assert len(scores) == len(working.passages)
        assert scores == sorted(scores, reverse=True)
        reranker.broken = True
        broken = await retrieve(engine, question)
    async with opened(pumps) as engine:
        fused = await retrieve(engine, question)
    assert broken.degraded == (Degradation.RERANKER_UNAVAILABLE,)
    assert [ranked.passage.key for ranked in broken.passages] == [ranked.passage.key for ranked in fused.passages]


async def test_a_reranker_out_of_time_is_declared(pumps: str) -> None:
    """Where its budget reached only some, those are in its order among themselves, and the answer says so."""
    question = asked("red pump", "group:eng", "group:board")
    async with open_engine(on_database(pumps), embedder=WordEmbedder(), reranker=OverlapReranker(reach=1)) as engine:
        found = await retrieve(engine, question)
    assert found.degraded == (Degradation.RERANKER_PARTIAL,)
    assert [ranked.rerank_score is None for ranked in found.passages] == [False] + [True] * (len(found.passages) - 1)


async def test_a_reranker_that_cannot_be_loaded_is_declared(pumps: str) -> None:
    """A configured cross-encoder that does not load is a degradation and a line in readiness, not a failed start."""
    settings = replace(on_database(pumps), reranker=RerankerSettings(model="/nowhere/cross-encoder"))
    async with open_engine(settings, embedder=WordEmbedder()) as engine:
        assert (await retrieve(engine, asked())).degraded == (Degradation.RERANKER_UNAVAILABLE,)
        state = await readiness(engine)
    assert state.parts["reranker"].state == "unavailable"
    assert "/nowhere/cross-encoder" in state.parts["reranker"].detail
    assert state.ready


async def test_readiness_tells_the_parts_apart(pumps: str) -> None:
    """Each part has its own state; only the database decides whether the service is ready."""
    with scripted_llm(scripted.status(500)) as llm:
        async with opened(pumps, llm) as engine:
            assert isinstance(engine.embedder, WordEmbedder)
            engine.embedder.broken = True
            state = await readiness(engine)
    assert {name: part.state for name, part in state.parts.items()} == {
        "database": "ready",
        "embedder": "unavailable",
        "reranker": "not_configured",
        "llm": "ready",
    }
    assert state.ready


async def test_a_dead_database_is_said_so(server: str) -> None:
    """When Postgres goes away, a question fails clean before its first event, and readiness is lost."""
    databases = new_database(server)
    dsn = next(databases)
    async with opened(dsn) as engine:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with pytest.raises(StoreUnavailable):
            await told(engine, asked())
        assert not (await readiness(engine)).ready
    next(databases, None)


async def test_what_the_caller_may_not_see_is_not_there(pumps: str) -> None:
    """The board's secret reaches no event of an engineer's answer, however directly it is asked for."""
    async with opened(pumps) as engine:
        for text in ("red pump code word albatross", "albatross", BOARD):
            assert "albatross" not in str(await told(engine, asked(text))).replace(text, "")
            assert "board/secret.md" not in str(await told(engine, asked(text)))
        end = finished(await told(engine, asked("red pump code word albatross", "group:board")))
    assert "albatross" in end.text


async def test_nothing_found_is_a_refusal(pumps: str) -> None:
    """A question that nothing visible answers is refused; no sentence is offered instead."""
    async with opened(pumps) as engine:
        end = finished(await told(engine, asked("zebra crossing regulations")))
    assert end.outcome == "refused"
    assert end.text == ""
    assert end.citations == ()


async def test_an_llm_is_asked_where_quoting_would_be_a_guess(pumps: str) -> None:
    """Between the two thresholds only the LLM answers; when it gives way, nothing is quoted in its place."""
    for fault, outcome in (
        (scripted.answer('It "needs oil every week" [1].'), "answered"),
        (scripted.status(500), "refused"),
    ):
        with scripted_llm(fault) as llm:
            async with opened(pumps, llm, retries=0) as engine:
                search = engine.settings.search.model_copy(update={"refuse_below": 1.0})
                cautious = replace(engine, settings=replace(engine.settings, search=search))
                assert finished(await told(cautious, asked())).outcome == outcome


async def test_an_llm_is_not_paid_for_nothing(pumps: str) -> None:
    """Below the lower threshold the LLM is not asked."""
    with scripted_llm(scripted.answer("Zebras cross [1].")) as llm:
        async with opened(pumps, llm) as engine:
            end = finished(await told(engine, asked("zebra crossing regulations")))
        assert not llm.requests
    assert end.outcome == "refused"
    assert end.degraded == ()


async def test_an_empty_index_refuses_kindly(dsn: str) -> None:
    """Before the first document every question is refused, not an error."""
    async with opened(dsn) as engine:
        assert finished(await told(engine, asked())).outcome == "refused"


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001, "a\x00b", "\ud800"])
async def test_what_cannot_be_asked_is_refused(pumps: str, text: str) -> None:
    """Empty, endless and malformed questions are the caller's to put right."""
    async with opened(pumps) as engine:
        with pytest.raises(InvalidQuestion):
            await retrieve(engine, asked(text))


@pytest.mark.parametrize(
    "text", ["to be or not to be", "?!", "' OR 1=1 --", "a & b | !c <-> d:*", "%s %(x)s {}", "💧" * 50]
)
async def test_odd_questions_are_only_questions(pumps: str, text: str) -> None:
    """Stop words, operators, quotes and emoji neither break the search nor mean anything to it."""
    async with opened(pumps) as engine:
        await told(engine, asked(text))


@pytest.mark.model
async def test_a_slow_embedder_is_given_up(pumps: str) -> None:
    """An embedder past its time-out counts as down; the question is answered by words."""
    async with opened(pumps) as engine:
        slow = SentenceTransformerEmbedder(engine.settings.embedder.model_copy(update={"timeout": 0.000_001}))
        engine.embedder = slow
        found = await retrieve(engine, asked())
        await slow.close()
    assert found.degraded == (Degradation.EMBEDDER_UNAVAILABLE,)
    assert found.passages
