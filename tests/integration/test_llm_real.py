"""The gateway, the prompt and the citation filter in front of a real llama.cpp server. Shapes only, never text."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Literal
from uuid import UUID

import pytest

from evals.judging.judge import open_judge
from evals.judging.submission import Quoted, Source, Submission
from evals.judging.verdict import Reason, Unjudged
from retrieval.access import caller, tenant_id
from retrieval.domain import (
    Candidate,
    ChunkKey,
    Citation,
    CitationFound,
    Passage,
    RankedPassage,
    ResponseFormat,
    TextDelta,
    TierReason,
    Usage,
)
from retrieval.endpoints import EndpointSettings
from retrieval.errors import InvalidStructuredAnswer, LlmInterrupted, LlmUnavailable, Overloaded
from retrieval.generation.cascade import Route
from retrieval.generation.citations import CitationStream
from retrieval.generation.drafts import Draft
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Begun, ToolsAsked
from retrieval.generation.schema_check import checked
from retrieval.generation.structured import write_json
from retrieval.generation.writing import Written
from retrieval.settings import BreakerSettings, LlmSettings
from tests.llm_servers.real import MODEL, Unobtainable, real_llm

pytestmark = pytest.mark.llm

ACME = tenant_id("acme")
ASKER = caller("acme", ())
TEXT = "Annual leave is 30 working days. Night workers get three more days."


@pytest.fixture(scope="module")
def settings() -> Iterator[LlmSettings]:
    try:
        with real_llm() as server:
            yield server.settings
    except Unobtainable as reason:
        pytest.skip(str(reason))


def _passage() -> RankedPassage:
    key = ChunkKey(document_id=UUID(int=1), ordinal=0)
    return RankedPassage(
        number=1,
        passage=Passage(
            key=key,
            version=1,
            uri="hr/leave.md",
            title="Leave",
            heading_path=("Entitlement",),
            text=TEXT,
            char_start=100,
            char_end=100 + len(TEXT),
            first_page=1,
            last_page=1,
        ),
        candidate=Candidate(key=key, dense_rank=1, lexical_rank=1, cosine=0.5, bm25=1.0, score=1.0),
    )


async def test_a_real_model_streams_text_then_usage(settings: LlmSettings) -> None:
    """A real server's stream is pieces of text, then one usage it counted itself; what it cites is verified."""
    passages = [_passage()]
    llm = LlmGateway(settings.model_copy(update={"max_output_tokens": 60}))
    assert (await llm.endpoints())["default"].state == "ready"
    stream = CitationStream(passages)
    draft = Draft(question="How many days of leave are there?", passages=tuple(passages))
    async with llm.turn(ASKER) as turn:
        pieces = [piece async for piece in turn.stream(draft)]
    await llm.close()
    begun, *text, usage = pieces
    assert isinstance(begun, Begun)
    assert begun.passages == draft.passages
    assert isinstance(usage, Usage)
    assert not usage.estimated
    assert usage.prompt_tokens > 50
    assert 0 < usage.completion_tokens <= 60
    assert all(isinstance(piece, str) and piece for piece in text)

    events = [event for piece in text if isinstance(piece, str) for event in await stream.feed(piece)]
    answer = await stream.finish()
    events += answer.events
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer.text
    assert {int(number) for number in re.findall(r"\[(\d+)\]", answer.text)} <= {1}
    for event in events:
        if isinstance(event, CitationFound):
            cited = event.citation
            assert TEXT[cited.char_start - 100 : cited.char_end - 100] == cited.quote


async def test_a_prompt_too_long_is_refused_in_words_of_our_own(settings: LlmSettings) -> None:
    """A context overflow is `LlmUnavailable` and says what the caller can do about it."""
    llm = LlmGateway(settings)
    async with llm.turn(ASKER) as turn:
        with pytest.raises(LlmUnavailable, match="too long"):
            await anext(turn.stream(Draft(question="days " * 9000, passages=(_passage(),))))
    await llm.close()


async def test_leaving_a_real_stream_early_frees_the_server(settings: LlmSettings) -> None:
    """After a reader left, the next question is answered at once: the server has stopped the first."""
    llm = LlmGateway(settings.model_copy(update={"max_output_tokens": 2000}))
    for _ in range(4):
        draft = Draft(question="Tell a long story.", passages=())
        async with llm.turn(ASKER) as turn, aclosing(turn.stream(draft)) as pieces:
            assert isinstance(await anext(pieces), Begun)
    await llm.close()


def _endpoint(name: str, settings: LlmSettings, priority: int = 1) -> EndpointSettings:
    return EndpointSettings(name=name, model=MODEL, base_url=settings.base_url, priority=priority)


async def test_a_server_killed_midway_interrupts_and_the_next_question_goes_elsewhere(settings: LlmSettings) -> None:
    """What was begun ends with an error, for its words are out; from then on the second endpoint answers."""
    with real_llm() as doomed:
        ends = (_endpoint("doomed", doomed.settings), _endpoint("spare", settings, priority=2))
        llm = LlmGateway(LlmSettings(endpoints=ends, max_output_tokens=400, token_timeout=60, deadline=120, retries=0))
        draft = Draft(question="How many days of leave are there?", passages=(_passage(),))
        async with llm.turn(ASKER) as turn, aclosing(turn.stream(draft)) as pieces:
            begun = await anext(pieces)
            assert isinstance(begun, Begun)
            assert begun.served.endpoint == "doomed"
            doomed.process.kill()
            with pytest.raises(LlmInterrupted):
                async for _ in pieces:
                    pass
        async with llm.turn(ASKER) as turn, aclosing(turn.stream(draft)) as pieces:
            begun = await anext(pieces)
            assert isinstance(begun, Begun)
            assert (begun.served.endpoint, begun.served.attempts) == ("spare", 2)
        await llm.close()


async def test_a_real_server_is_not_asked_for_more_than_it_can_do(settings: LlmSettings) -> None:
    """With two places and a line of four, six of twelve are answered in full and six are told so at once."""
    # Retried: the server may close a resting connection just as it is taken up again.
    limits = {"concurrency": 2, "waiting": 4, "patience": 120.0, "max_output_tokens": 16, "retries": 2}
    llm = LlmGateway(settings.model_copy(update=limits))
    draft = Draft(question="How many days of leave are there?", passages=(_passage(),))

    async def usage() -> Begun | ToolsAsked | str | Usage:
        async with llm.turn(ASKER) as turn:
            return [piece async for piece in turn.stream(draft)][-1]

    outcomes = await asyncio.gather(*(usage() for _ in range(12)), return_exceptions=True)
    assert Counter(map(type, outcomes)) == {Usage: 6, Overloaded: 6}
    assert isinstance(await usage(), Usage)
    await llm.close()


LEAVE = {
    "$defs": {"unit": {"enum": ["days", "weeks"]}},
    "type": "object",
    "properties": {"number": {"type": "integer"}, "unit": {"$ref": "#/$defs/unit"}},
    "required": ["number", "unit"],
    "additionalProperties": False,
}


async def _json_of(settings: LlmSettings, schema: dict[str, Any], mode: Literal["on", "off"]) -> Written:
    async def hold(citations: Sequence[Citation]) -> list[bool]:
        return [True] * len(citations)

    end = EndpointSettings(name="real", model=MODEL, base_url=settings.base_url, json_schema=mode)
    llm = LlmGateway(LlmSettings(endpoints=(end,), max_output_tokens=200, token_timeout=60, deadline=120, retries=0))
    draft = Draft(question="How many days of leave are there?", passages=(_passage(),))
    start = Route(tier="small", reason=TierReason.ROUTED_SIMPLE, confidence=0.9)
    wanted = checked(ResponseFormat(name="leave", schema=schema, strict=True))
    try:
        async with llm.turn(ASKER) as turn:
            return await write_json(turn, start, draft, wanted, hold, 0)
    finally:
        await llm.close()


async def test_a_real_server_keeps_to_a_schema(settings: LlmSettings) -> None:
    """With its json_schema mode even a tiny model's answer fits, references and all, unless it is cut off."""
    try:
        written = await _json_of(settings, LEAVE, "on")
    except InvalidStructuredAnswer as error:
        assert "no JSON" in str(error)  # noqa: PT017 - what was not cut off fits
        return
    assert written.outcome in {"answered", "unsupported", "refused"}
    if written.outcome != "refused":
        assert written.structured.keys() == {"number", "unit"}
    for citation in written.citations:
        assert TEXT[citation.char_start - 100 : citation.char_end - 100] == citation.quote


async def test_a_real_server_without_its_mode_is_not_believed(settings: LlmSettings) -> None:
    """A tiny model that is only told of the schema gives JSON that fits, or the answer is a clear error."""
    with suppress(InvalidStructuredAnswer):
        written = await _json_of(settings, LEAVE, "off")
        assert written.outcome in {"answered", "unsupported", "refused"}


async def test_a_real_model_judges(settings: LlmSettings) -> None:
    """A real server holds even the smallest model to a verdict's shape; where its numbers are wrong there is none."""
    endpoint = EndpointSettings(name="judge", model=MODEL, base_url=settings.base_url)
    # A rubric is long to read for a busy machine.
    patient = settings.model_copy(update={"max_output_tokens": 120, "token_timeout": 240, "deadline": 480})
    submission = Submission(
        question="How many days of leave are there?",
        sources=(Source(number=1, title="Leave", text=TEXT),),
        sentences=("Annual leave is 30 working days. [1]",),
        citations=(Quoted(number=1, quote="Annual leave is 30 working days."),),
    )
    async with open_judge(endpoint, patient, BreakerSettings(), max_calls=2) as judge:
        found = await judge.verdict(submission)

    assert 1 <= judge.calls <= 2
    assert len(judge.used) == judge.calls
    assert not any(usage.estimated for usage in judge.used)
    if isinstance(found, Unjudged):
        assert found.reason is Reason.MALFORMED
    else:
        assert found.fits(submission)
        assert all(0 <= score <= 1 for score in found.scores().values())
