"""Two tiers behind one gateway: who is asked, when the large one takes over, and what the reader sees of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from retrieval.domain import Citation, CitationFound, StepTaken, TextDelta, TierReason, Usage
from retrieval.errors import LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.cascade import Route
from retrieval.generation.drafts import Draft
from retrieval.generation.gateway import GatewayTurn, LlmGateway
from retrieval.generation.llm import Begun, ToolsAsked
from retrieval.generation.writing import Stream, Written, write
from tests.llm_servers import scripted as script
from tests.llm_servers.gateways import ACME, ASKER, endpoint, gateway
from tests.llm_servers.scripted import Script, ScriptedLlm, scripted_llm
from tests.unit.test_citations import LEAVE, ranked

DRAFT = Draft(question="How many days of leave?", passages=(ranked(1, LEAVE),))
SIMPLE = Route(tier="small", reason=TierReason.ROUTED_SIMPLE, confidence=0.9)
UNSURE = Route(tier="small", reason=TierReason.ROUTED_SIMPLE, confidence=0.2)
COMPLEX = Route(tier="large", reason=TierReason.ROUTED_EXPLANATION, confidence=0.9)
GOOD = "Annual leave is 30 working days [1]."
BETTER = "It is 30 working days of annual leave [1]."
UNCITED = "The pump was built by Elvis."
DECLINED = "I do not know from these documents."
FAINT = "Leave means freedom, sunshine [1]."

Events = list[StepTaken | TextDelta | CitationFound | Written]


async def _hold(citations: Sequence[Citation]) -> list[bool]:
    return [True] * len(citations)


@asynccontextmanager
async def _tiers(*small: ScriptedLlm, large: ScriptedLlm, **more: Any) -> AsyncIterator[LlmGateway]:
    ends = [endpoint(f"small-{at}", server, tier="small", priority=at) for at, server in enumerate(small, 1)]
    async with gateway(*ends, endpoint("large", large, tier="large"), **more) as llm:
        yield llm


def _stream(turn: GatewayTurn) -> Stream:
    """The turn's, of which no tools are asked."""

    async def without_tools(draft: Draft) -> AsyncGenerator[Begun | str | Usage, None]:
        async with aclosing(turn.stream(draft)) as pieces:
            async for piece in pieces:
                assert not isinstance(piece, ToolsAsked)
                yield piece

    return without_tools


async def _events(llm: LlmGateway, start: Route = SIMPLE) -> tuple[Events, GatewayTurn]:
    async with llm.turn(ASKER, start=start.tier) as turn:
        return [event async for event in write(_stream(turn), turn, start, DRAFT, _hold)], turn


async def _written(llm: LlmGateway, start: Route = SIMPLE) -> Written:
    *events, last = (await _events(llm, start))[0]
    assert isinstance(last, Written)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == last.text
    assert [event.citation for event in events if isinstance(event, CitationFound)] == list(last.citations)
    return last


def _answers(*texts: str) -> list[Script]:
    return [script.answer(text) for text in texts]


@pytest.mark.parametrize(("start", "model"), [(SIMPLE, "model-small-1"), (COMPLEX, "model-large")])
async def test_a_question_is_asked_where_it_starts(start: Route, model: str) -> None:
    """One call, to one tier, and the answer says which and why."""
    with scripted_llm(*_answers(GOOD)) as small, scripted_llm(*_answers(GOOD)) as large:
        async with _tiers(small, large=large) as llm:
            served = (await _written(llm, start)).served
        assert (served.model, served.tier, served.reason, served.attempts) == (model, start.tier, start.reason, 1)
        assert len(small.requests) + len(large.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (UNCITED, "escalated_no_citation"),
        (UNCITED + " [7].", "escalated_no_citation"),
        (DECLINED, "escalated_declined"),
        (FAINT, "escalated_low_support"),
    ],
)
async def test_a_small_answer_that_fails_a_check_is_never_seen(answer: str, reason: str) -> None:
    """Not a word of it: the large tier's answer is all there is, with the reason, all attempts and all tokens."""
    wrong, right = script.answer(answer, usage=(11, 7)), script.answer(BETTER, usage=(20, 5))
    with scripted_llm(wrong) as small, scripted_llm(right) as large:
        async with _tiers(small, large=large) as llm:
            events, turn = await _events(llm)
    last = events[-1]
    assert isinstance(last, Written)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == last.text == BETTER
    served = (last.served.endpoint, last.served.tier, last.served.reason, last.served.attempts)
    assert served == ("large", "large", reason, 2)
    assert (turn.usage.prompt_tokens, turn.usage.completion_tokens, turn.usage.estimated) == (31, 12, False)


async def test_not_knowing_is_believed_where_the_passages_fit_badly() -> None:
    """A second model is not paid to say the same."""
    with scripted_llm(*_answers(DECLINED)) as small, scripted_llm(*_answers(BETTER)) as large:
        async with _tiers(small, large=large) as llm:
            written = await _written(llm, UNSURE)
        assert (written.outcome, written.text, written.served.tier) == ("unsupported", DECLINED, "small")
        assert large.requests == []


async def test_words_are_let_out_with_the_first_citation_that_convinces() -> None:
    """What comes after it streams; nothing before it was seen while it could still have been thrown away."""
    tail = " And night workers get three more days, whoever they are."
    slow = script.slow_drip(UNCITED + " " + GOOD + tail, pause=0.005)
    with scripted_llm(slow) as small, scripted_llm() as large:
        async with _tiers(small, large=large) as llm:
            events, _ = await _events(llm)
        assert large.requests == []
    first, second, *rest = events
    assert isinstance(first, TextDelta)
    assert first.text == f"{UNCITED} {GOOD}".removesuffix(".")
    assert isinstance(second, CitationFound)
    assert len(rest) > 5


async def test_what_was_let_out_is_never_begun_again() -> None:
    """A small model that breaks off after its first good citation ends the stream, and nobody else is asked."""
    with scripted_llm(script.cut_midway(GOOD + " And night workers")) as small, scripted_llm() as large:
        async with _tiers(small, large=large) as llm:
            with pytest.raises(LlmInterrupted):
                await _events(llm)
        assert large.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        script.status(500),
        script.status(401),
        script.hang_before_first_token(),
        script.cut_midway("The pump was"),
        script.hang_midway("The pump was"),
        script.answer("The pump was", finish_reason=None),
    ],
    ids=str,
)
async def test_where_no_small_model_answers_the_large_one_does(fault: Script) -> None:
    """Also when one breaks off in the middle: nothing of it was let out."""
    with scripted_llm(fault) as small, scripted_llm(*_answers(BETTER)) as large:
        async with _tiers(small, large=large) as llm:
            served = (await _written(llm)).served
    assert (served.tier, served.reason, served.attempts) == ("large", "escalated_unavailable", 2)


@pytest.mark.parametrize("fault", [script.status(500), script.cut_midway("The pump was")], ids=str)
async def test_another_small_model_is_asked_before_the_large_one(fault: Script) -> None:
    """Failover comes before escalation."""
    with scripted_llm(fault) as broken, scripted_llm(*_answers(GOOD)) as small, scripted_llm() as large:
        async with _tiers(broken, small, large=large) as llm:
            served = (await _written(llm)).served
        assert (served.endpoint, served.reason, served.attempts) == ("small-2", "routed_simple", 2)
        assert large.requests == []


async def test_a_complex_question_is_better_answered_by_a_small_model_than_by_none() -> None:
    """And the answer says so; there is nobody left to doubt it."""
    with scripted_llm(*_answers(UNCITED)) as small, scripted_llm(script.status(500)) as large:
        async with _tiers(small, large=large) as llm:
            written = await _written(llm, COMPLEX)
    assert (written.served.tier, written.served.reason) == ("small", "large_unavailable")
    assert written.outcome == "unsupported"


@pytest.mark.parametrize("fault", [script.status(500), script.hang_before_first_token()], ids=str)
async def test_a_doubted_answer_is_not_shown_where_the_large_tier_fails(fault: Script) -> None:
    """It failed the check, and is no better for the large tier's failing."""
    with scripted_llm(*_answers(UNCITED, GOOD)) as small, scripted_llm(fault) as large:
        async with _tiers(small, large=large) as llm, llm.turn(ASKER) as turn:
            with pytest.raises(LlmUnavailable):
                await anext(write(_stream(turn), turn, SIMPLE, DRAFT, _hold))
        assert len(small.requests) == 1


async def test_with_one_tier_nothing_is_routed_or_held_back() -> None:
    """Whether no endpoint names a tier, or all the same: words come as they come, and no tier is named."""
    for tier in (None, "small"):
        with scripted_llm(*_answers(UNCITED)) as server:
            async with gateway(endpoint("a", server, tier=tier)) as llm:
                written = await _written(llm)
            assert (written.served.reason, written.outcome) == (None, "unsupported")
            assert len(server.requests) == 1


async def test_one_turn_holds_one_place() -> None:
    """Escalating gives up the small tier's place for one in the large tier's line, and all are free in the end."""
    with scripted_llm(*_answers(UNCITED)) as small:
        with scripted_llm(script.slow_drip(BETTER, pause=0.02)) as large:
            ends = (
                endpoint("small", small, tier="small", concurrency=1),
                endpoint("large", large, tier="large", concurrency=2),
            )
            async with gateway(*ends, patience=20.0, deadline=20.0, waiting=64) as llm:
                written = await asyncio.gather(*(_written(llm) for _ in range(12)))
                assert [endpoint.line.pressure for endpoint in llm._endpoints] == [0, 0]
        assert {each.served.reason for each in written} == {"escalated_no_citation"}
        assert (small.most_at_once, large.most_at_once) == (1, 2)


async def test_a_full_line_at_one_tier_leads_to_the_other() -> None:
    """And only where both are full is the question turned away."""
    with scripted_llm(*_answers(GOOD)) as small, scripted_llm(*_answers(GOOD)) as large:
        ends = (
            endpoint("small", small, tier="small", concurrency=1),
            endpoint("large", large, tier="large", concurrency=1),
        )
        async with gateway(*ends, waiting=0) as llm:
            async with llm._endpoints[0].line.turn(ACME):
                served = (await _written(llm)).served
                assert (served.tier, served.reason) == ("large", "escalated_unavailable")
                async with llm._endpoints[1].line.turn(ACME):
                    with pytest.raises(Overloaded):
                        await _written(llm)
            assert (await _written(llm)).served.tier == "small"


async def test_a_citation_that_was_revoked_does_not_let_words_out() -> None:
    """A small model's only support is a document that the caller may no longer see: the large one is asked."""

    async def revoked(citations: Sequence[Citation]) -> list[bool]:
        return [False] * len(citations)

    with scripted_llm(*_answers(GOOD)) as small, scripted_llm(*_answers(DECLINED)) as large:
        async with _tiers(small, large=large) as llm, llm.turn(ASKER) as turn:
            events = [event async for event in write(_stream(turn), turn, SIMPLE, DRAFT, revoked)]
    last = events[-1]
    assert isinstance(last, Written)
    assert (last.text, last.served.reason) == (DECLINED, "escalated_no_citation")


async def test_leaving_while_words_are_held_back_ends_the_upstream_call() -> None:
    """A reader that has seen nothing yet may go as well."""
    with scripted_llm(script.slow_drip("word " * 500, pause=0.02)) as small, scripted_llm() as large:
        async with _tiers(small, large=large, token_timeout=20.0, deadline=60.0) as llm:
            task = asyncio.create_task(_events(llm))
            assert await asyncio.to_thread(small.wait_for, lambda state: state.at_once == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(small.wait_for, lambda state: state.at_once == 0)
            assert [endpoint.line.pressure for endpoint in llm._endpoints] == [0, 0]
        assert large.requests == []
