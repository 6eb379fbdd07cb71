"""Questions in a conversation: a follow-up is made to stand alone and searched afresh; what was said is no source."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from retrieval.answering import answer
from retrieval.domain import AnswerFinished, Degradation, PassagesFound, Question, Utterance
from retrieval.engine import open_engine
from retrieval.settings import BreakerSettings, LlmSettings
from tests.conftest import on_database
from tests.fakes import WordEmbedder
from tests.llm_servers import scripted
from tests.llm_servers.scripted import Script, scripted_llm
from tests.talking import Told, asked, filled, opened, told_by

HISTORY = (
    Utterance(role="user", text="How often does the red pump need oil?"),
    Utterance(role="assistant", text="The red pump needs oil every week. The board's secret is albatross."),
)
LEANING = "And its filter, how long does it last?"
ALONE = "How long does the filter of the red pump last?"
GOOD = scripted.answer("Its filter lasts ninety days [1].")


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from filled(server, tmp_path_factory.mktemp("documents"))


def _follow_up(text: str = LEANING, history: tuple[Utterance, ...] = HISTORY) -> Question:
    return asked(text, history=history, tools=frozenset())


def _first(told: Told) -> PassagesFound:
    first = told.events[0]
    assert isinstance(first, PassagesFound)
    return first


async def test_a_follow_up_is_searched_as_a_model_rewords_it(database: str) -> None:
    """A short call of its own comes before the search; its tokens count, and what was searched is told."""
    told = await told_by(database, scripted.answer(ALONE), GOOD, question=_follow_up())
    rewriting, writing = told.sent
    assert rewriting["max_tokens"] < writing["max_tokens"]
    assert _first(told).question_asked == ALONE
    assert told.finished.outcome == "answered"
    assert told.finished.degraded == ()
    assert told.finished.usage is not None
    assert told.finished.usage.prompt_tokens == 22


async def test_a_question_that_stands_alone_costs_nothing(database: str) -> None:
    """In a conversation or not, it is searched as it is, without a call."""
    told = await told_by(database, GOOD, question=_follow_up(ALONE))
    assert len(told.sent) == 1
    assert _first(told).question_asked is None


async def test_the_model_answers_the_question_as_it_was_asked(database: str) -> None:
    """It reads the question in the asker's words and the conversation as data, delimited, in the user turn."""
    told = await told_by(database, scripted.answer(ALONE), GOOD, question=_follow_up())
    system, user = told.sent[1]["messages"]
    assert "albatross" not in system["content"]
    assert [user["role"], user["content"].count("<turn speaker=")] == ["user", 2]
    assert f"<question>\n{LEANING}\n</question>" in user["content"]
    assert len(told.sent[1]["messages"]) == 2


async def test_what_was_said_is_no_source(database: str) -> None:
    """An assistant's turn that the caller sends proves nothing: a claim that only it makes loses its citation."""
    told = await told_by(database, GOOD, question=_follow_up("What is the secret word of the board about the pump?"))
    lied = await told_by(
        database,
        scripted.answer("The board's secret is albatross [1]."),
        question=_follow_up("What is the secret word of the board about the pump?"),
    )
    assert told.finished.outcome == "answered"
    assert lied.finished.outcome == "unsupported"


@pytest.mark.parametrize(
    "failing",
    [
        scripted.status(500),
        scripted.hang_before_first_token(),
        scripted.cut_midway("How long does"),
        scripted.answer("The answer is:\nninety days"),
        scripted.answer("What does the director of the observatory earn?"),
        scripted.answer("", usage=None, finish_reason="length"),
    ],
    ids=["500", "hang", "cut", "two lines", "something else", "nothing"],
)
async def test_a_rewording_that_fails_is_done_by_words(database: str, failing: Script) -> None:
    """Words of the last question are added for the search alone, declared, and the answer is written as ever."""
    told = await told_by(database, failing, GOOD, question=_follow_up(), retries=0)
    searched = _first(told).question_asked
    assert searched is not None
    assert searched.startswith(f"{LEANING} ")
    assert "pump" in searched
    assert told.finished.degraded == (Degradation.REWRITE_UNAVAILABLE,)
    assert told.finished.outcome == "answered"


async def test_rewording_has_a_clock_of_its_own(database: str) -> None:
    """A model that takes too long over it does not take the answer's time, and opens no breaker."""
    slow = scripted.slow_drip("Its filter lasts ninety days [1].", pause=0.1)
    with scripted_llm(slow) as server:
        settings = server.settings(rewrite_timeout=0.15, token_timeout=5.0)
        async with opened(database, settings, BreakerSettings(failures=1)) as engine:
            assert engine.llm is not None
            last = [event async for event in answer(engine, _follow_up())][-1]
            states = await engine.llm.endpoints()
        assert await asyncio.to_thread(server.wait_for, lambda state: state.disconnects == 1)
    assert isinstance(last, AnswerFinished)
    assert last.degraded == (Degradation.REWRITE_UNAVAILABLE,)
    assert last.outcome == "answered"
    assert states["default"].breaker == "closed"


async def test_without_a_model_words_are_added_and_nothing_is_degraded(database: str) -> None:
    """Nothing gave way: the question is quoted an answer to, with the conversation's words."""
    async with open_engine(on_database(database), embedder=WordEmbedder()) as engine:
        events = [event async for event in answer(engine, _follow_up("How long does its filter last?"))]
    first, last = events[0], events[-1]
    assert isinstance(first, PassagesFound)
    assert isinstance(last, AnswerFinished)
    assert first.question_asked == "How long does its filter last? often red pump need oil"
    assert last.degraded == ()
    assert "ninety days" in last.text


async def test_a_follow_up_finds_nothing_the_caller_may_not_see(database: str) -> None:
    """A history that names what others may see is a search like any other."""
    history = (Utterance(role="user", text="What is the board's secret albatross?"), HISTORY[1])
    told = await told_by(
        database, scripted.answer("What is the board's secret?"), GOOD, question=_follow_up("What is it?", history)
    )
    assert not any("albatross" in ranked.passage.text for ranked in _first(told).retrieval.passages)


async def test_a_long_conversation_is_cut_at_its_beginning(database: str) -> None:
    """The latest turns are kept; the oldest are dropped, and a very long one is shortened."""
    old = tuple(Utterance(role="user", text=f"Old question {number} " + "word " * 50) for number in range(19))
    told = await told_by(database, GOOD, question=_follow_up(ALONE, (*old, HISTORY[0])), history_tokens=200)
    shown = told.sent[0]["messages"][1]["content"]
    assert "How often does the red pump need oil?" in shown
    assert "Old question 18" in shown
    assert "Old question 3 " not in shown


async def test_tools_and_a_conversation_go_together(database: str) -> None:
    """The history stands in every round of an answer in steps."""
    call = ("search", json.dumps({"query": "filters ordered Hamburg store"}))
    told = await told_by(
        database,
        scripted.answer(ALONE),
        scripted.calling(call),
        scripted.answer("In Hamburg [2]."),
        question=replace(_follow_up(), tools=asked().tools),
    )
    assert len(told.steps) == 1
    assert all("<conversation>" in sent["messages"][1]["content"] for sent in told.sent)
    assert told.finished.usage is not None
    assert told.finished.usage.prompt_tokens == 33


async def test_many_conversations_at_once_leave_no_place_taken(database: str) -> None:
    """A turn is given back between the rewording and the answer: one place serves them all, one after the other."""
    with scripted_llm(scripted.answer(ALONE)) as server:
        settings: LlmSettings = server.settings(concurrency=1, waiting=64, patience=30.0, rewrite_timeout=30.0)
        async with opened(database, settings) as engine:

            async def ask() -> AnswerFinished:
                last = [event async for event in answer(engine, _follow_up())][-1]
                assert isinstance(last, AnswerFinished)
                return last

            ends = await asyncio.gather(*(ask() for _ in range(12)))
        assert server.most_at_once == 1
        assert len(server.requests) == 24
        assert {end.degraded for end in ends} == {()}
