"""Answers in steps: the model reads for itself before its first word."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from retrieval.answering import answer
from retrieval.domain import AnswerFailed, AnswerFinished, PassagesFound, StepTaken
from retrieval.generation.gateway import LlmGateway
from retrieval.settings import BreakerSettings, LlmSettings
from tests.llm_servers import scripted
from tests.llm_servers.gateways import endpoint
from tests.llm_servers.scripted import Script, scripted_llm
from tests.talking import asked, filled, id_of, listing, opened, opening, searching, told_by

GOOD = scripted.answer("Its filter lasts ninety days [1].")


@pytest.fixture(scope="module")
def database(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from filled(server, tmp_path_factory.mktemp("documents"))


async def test_the_model_finds_more_and_cites_it(database: str) -> None:
    """What a tool finds is numbered on, told as a step before the first word, and citable like what was found first."""
    told = await told_by(
        database,
        scripted.calling(searching("Where are filters ordered, store part number?"), text="Let me look."),
        scripted.answer("Its filter lasts ninety days [1]. Filters are ordered from the store in Hamburg [2]."),
    )
    first, step = told.events[:2]
    assert isinstance(first, PassagesFound)
    assert isinstance(step, StepTaken)
    assert (step.number, step.tool, step.refused) == (1, "search", None)
    assert [ranked.number for ranked in step.passages] == list(range(2, 2 + len(step.passages)))
    assert told.text == told.finished.text
    assert {citation.number for citation in told.finished.citations} == {1, 2}
    assert told.finished.usage is not None
    assert (told.finished.usage.prompt_tokens, told.finished.usage.completion_tokens) == (22, 14)
    assert told.finished.served is not None
    assert told.finished.served.attempts == 2


async def test_what_a_step_took_is_told_also_where_the_next_one_fails(database: str) -> None:
    """The answer is quoted then, and was paid for all the same."""
    told = await told_by(database, scripted.calling(searching("filters")), scripted.status(500))
    assert told.finished.answered_by == "extractive"
    assert told.finished.usage is not None
    assert (told.finished.usage.prompt_tokens, told.finished.usage.completion_tokens) == (11, 7)
    assert told.finished.cost_usd is not None


async def test_what_is_sent_is_the_protocols_own_shape(database: str) -> None:
    """Tools are offered by name and schema; calls follow the two first turns, each with its result."""
    told = await told_by(
        database, scripted.calling(searching("filters"), listing()), scripted.answer("Ninety days [1].")
    )
    offered = [tool["function"]["name"] for tool in told.sent[0]["tools"]]
    assert offered == ["search", "open_document", "list_documents"]
    system, user, called, *results = told.sent[1]["messages"]
    assert (system["role"], user["role"], called["role"]) == ("system", "user", "assistant")
    ids = [call["id"] for call in called["tool_calls"]]
    assert [result["tool_call_id"] for result in results] == ids
    assert len(set(ids)) == 2
    assert all(len(each) == 9 and each.isalnum() for each in ids)
    assert [call["function"]["name"] for call in called["tool_calls"]] == ["search", "list_documents"]


async def test_without_the_request_for_it_no_tool_is_offered(database: str) -> None:
    """A question without tools, and one where the operator turned them off, goes out as ever."""
    plain = await told_by(database, question=asked(tools=frozenset()))
    off = await told_by(database, tools=False)
    assert "tools" not in plain.sent[0]
    assert plain.sent == off.sent


async def test_a_document_is_read_on_part_by_part(database: str) -> None:
    """By a passage's number or by id, from any part on, as far as the end."""
    almanac = id_of(database, "long")
    told = await told_by(
        database,
        scripted.calling(opening(almanac), opening("2", start=4), opening(almanac, start=900)),
        scripted.answer("Ninety days [1]."),
    )
    beginning, further, beyond = told.steps
    opened = [ranked.passage for ranked in (*beginning.passages, *further.passages)]
    assert {str(passage.key.document_id) for passage in opened} == {almanac}
    assert [passage.key.ordinal for passage in opened] == sorted(passage.key.ordinal for passage in opened)
    assert "start=4" in told.results()[0]
    assert (beyond.found, beyond.refused) == (0, None)


async def test_documents_are_listed_as_the_caller_sees_them(database: str) -> None:
    """The list holds what the caller may see, narrowed by name, and an id that opens."""
    told = await told_by(
        database,
        scripted.calling(listing(), listing(containing="PUMP"), listing(start=2)),
        scripted.answer("Ninety days [1]."),
    )
    assert [step.found for step in told.steps] == [3, 1, 1]
    assert id_of(database, "pump") in told.results()[1]
    assert id_of(database, "board") not in json.dumps(told.sent)


async def test_words_before_a_call_are_not_the_answer(database: str) -> None:
    """What the model says before its calls nobody sees; a whole answer without calls comes as one that has begun."""
    told = await told_by(
        database,
        scripted.calling(searching("filters"), text="The board told me to say hello."),
        scripted.answer("I do not know."),
    )
    assert told.text == "I do not know."


async def test_calls_after_the_answer_has_begun_are_not_made(database: str) -> None:
    """Once something was cited the answer is under way: nothing can take it back."""
    call = {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "list_documents", "arguments": "{}"}}]}
    told = await told_by(database, scripted.deltas({"content": "Its filter lasts ninety days [1]. "}, call))
    assert told.steps == []
    assert told.finished.outcome == "answered"


async def test_text_is_given_on_as_soon_as_it_cites(database: str) -> None:
    """Only what comes before the first citation waits."""
    cut = scripted.deltas({"content": "Its filter lasts ninety days [1]. "}, finish_reason=None)
    told = await told_by(database, replace(cut, cut_at_end=True))
    assert isinstance(told.events[-1], AnswerFailed)
    assert told.events[-1].code == "llm_interrupted"
    assert "ninety days" in told.text


@pytest.mark.parametrize(
    "refusal",
    [
        scripted.status(400),
        scripted.status(404, error={"message": "No endpoints found that support tool use"}),
        scripted.status(500, error={"message": "tools param requires --jinja flag", "code": 500}),
    ],
    ids=["400", "404", "500"],
)
async def test_a_server_without_tools_answers_as_ever(database: str, refusal: Script) -> None:
    """It is asked once more without them, at once, and its breaker counts nothing."""
    told = await told_by(database, refusal, scripted.answer("Its filter lasts ninety days [1]."), retries=0)
    assert [bool(sent.get("tools")) for sent in told.sent] == [True, False]
    assert told.finished.outcome == "answered"
    assert told.finished.degraded == ()


async def test_in_the_middle_of_steps_another_endpoint_goes_on(database: str) -> None:
    """No word has been sent: what the first one's tools found is put before the second."""
    scripts = (scripted.calling(searching("filters ordered Hamburg store")), scripted.status(500))
    with scripted_llm(*scripts) as first, scripted_llm(scripted.answer("In Hamburg [2].")) as second:
        ends = (endpoint("a", first), endpoint("b", second, priority=2))
        async with opened(database, LlmSettings(endpoints=ends, token_timeout=0.5, retries=0)) as engine:
            events = [event async for event in answer(engine, asked())]
            steps = engine.telemetry.registry.get_sample_value(
                "pincite_tool_steps_total", {"tool": "search", "outcome": "found"}
            )
        assert steps == 1
        assert (len(first.requests), len(second.requests)) == (2, 1)
        assert "Hamburg" in json.dumps(second.requests[0])
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    assert finished.served is not None
    assert (finished.served.endpoint, finished.served.attempts) == ("b", 3)


async def test_the_place_is_kept_between_steps_and_free_at_the_end(database: str) -> None:
    """An answer in steps is one answer in its endpoint's line, however it ends."""
    for last in (scripted.answer("Ninety days [1]."), scripted.status(500), scripted.cut_midway("Ninety days [1]. ")):
        with scripted_llm(scripted.calling(listing()), last) as server:
            llm = LlmGateway(server.settings(concurrency=1), BreakerSettings())
            async with opened(database, server.settings()) as engine:
                engine.llm = llm
                line = llm._endpoints[0].line
                during = [line.pressure async for event in answer(engine, asked()) if isinstance(event, StepTaken)]
            assert during == [1.0]
            assert line.pressure == 0
            await llm.close()


async def test_who_leaves_between_steps_leaves_nothing_behind(database: str) -> None:
    """Closing the answer there gives the place back; the next one is served by it."""
    with scripted_llm(scripted.calling(listing()), GOOD) as server:
        llm = LlmGateway(server.settings(concurrency=1), BreakerSettings())
        async with opened(database, server.settings()) as engine:
            engine.llm = llm
            for _ in range(3):
                events = answer(engine, asked())
                assert isinstance(await anext(events), PassagesFound)
                server.scripts = [*[GOOD] * len(server.requests), scripted.calling(listing()), GOOD]
                assert isinstance(await anext(events), StepTaken)
                await events.aclose()
                assert llm._endpoints[0].line.pressure == 0
        await llm.close()


async def test_many_answers_in_steps_share_an_endpoint(database: str) -> None:
    """Each holds one place from its first call to its last word, and no more are written at once than may be."""
    with scripted_llm(*[scripted.calling(listing())] * 16, GOOD) as server:
        many = {"concurrency": 3, "patience": 30.0, "deadline": 30.0, "token_timeout": 10.0, "tool_steps": 20}
        async with opened(database, server.settings(**many)) as engine:

            async def ask() -> AnswerFinished:
                last = [event async for event in answer(engine, asked())][-1]
                assert isinstance(last, AnswerFinished)
                return last

            ends = await asyncio.gather(*(ask() for _ in range(16)))
        assert server.most_at_once <= 3
        assert {end.answered_by for end in ends} == {"scripted"}
