"""Every fault of a model's server, where a follow-up is reworded and between two steps: declared, never raised."""

import asyncio
from collections.abc import Iterator

import pytest

from retrieval.answering import answer
from retrieval.domain import AnswerFailed, AnswerFinished, Degradation, Question, Utterance
from retrieval.settings import LlmSettings
from tests.faults.matrix import DEADLINES, FAULTS, Fault
from tests.llm_servers import scripted
from tests.llm_servers.scripted import ScriptedLlm, scripted_llm
from tests.talking import asked, filled, listing, opened

AGES = 30.0
"""Many times what the longest of these takes: what waits for ever is caught, a slow machine is not."""
HISTORY = (Utterance(role="user", text="How often does the red pump need oil?"),)
GOOD = scripted.answer("Its filter lasts ninety days [1].")


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from filled(server, tmp_path_factory.mktemp("documents"))


def _settings(server: ScriptedLlm, fault: Fault) -> LlmSettings:
    address = fault.address or server.base_url
    return server.settings(base_url=address, token_timeout=0.5, deadline=DEADLINES["generate"], rewrite_timeout=1.0)


async def _end(database: str, settings: LlmSettings, question: Question) -> AnswerFinished | AnswerFailed:
    async with opened(database, settings) as engine, asyncio.timeout(AGES):
        last = [event async for event in answer(engine, question)][-1]
    assert isinstance(last, AnswerFinished | AnswerFailed)
    return last


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_a_follow_up_is_reworded(database: str, fault: str) -> None:
    """The search is done with words of the conversation, and the answer comes, written or quoted."""
    broken = FAULTS[fault]
    question = asked("And its filter, how long does it last?", history=HISTORY, tools=frozenset())
    with scripted_llm(broken.script, GOOD) as server:
        end = await _end(database, _settings(server, broken), question)
    assert isinstance(end, AnswerFinished)
    assert end.outcome == "answered"
    assert Degradation.REWRITE_UNAVAILABLE in end.degraded
    assert (Degradation.LLM_UNAVAILABLE in end.degraded) == (end.answered_by == "extractive")


@pytest.mark.parametrize("fault", FAULTS)
async def test_between_two_steps(database: str, fault: str) -> None:
    """Before the first word the answer is quoted; after it the stream ends with an error."""
    broken = FAULTS[fault]
    with scripted_llm(scripted.calling(listing()), broken.script) as server:
        end = await _end(database, _settings(server, broken), asked())
    if isinstance(end, AnswerFailed):
        assert end.code == "llm_interrupted"
    else:
        assert end.outcome == "answered"
        assert end.degraded == ((Degradation.LLM_UNAVAILABLE,) if end.answered_by == "extractive" else ())
