"""Tools and follow-ups in front of a real llama.cpp server. Shapes only, never text."""

import json
from collections.abc import Iterator

import pytest

from retrieval.domain import Tool, Usage, Utterance
from retrieval.generation.drafts import Draft, Drafted
from retrieval.generation.follow_ups import FollowUp
from retrieval.generation.gateway import LlmGateway
from retrieval.generation.llm import Begun, ToolsAsked
from retrieval.generation.tool_calls import Exchange, ToolCall, ToolResult
from retrieval.settings import LlmSettings
from tests.llm_servers.gateways import ASKER
from tests.llm_servers.real import Unobtainable, real_llm
from tests.unit.test_citations import ranked

pytestmark = pytest.mark.llm

ALL = frozenset(Tool)
FOUND = ranked(1, "Annual leave is 30 working days.")
MORE = ranked(2, "Night workers get three more days.")
ASKED = Draft(question="How many days of leave does a night worker get?", passages=(FOUND,), tools=ALL)
HISTORY = (Utterance(role="user", text="How many days of leave are there?"), Utterance(role="assistant", text="30."))


@pytest.fixture(scope="module")
def settings() -> Iterator[LlmSettings]:
    try:
        with real_llm() as server:
            yield server.settings.model_copy(update={"max_output_tokens": 60})
    except Unobtainable as reason:
        pytest.skip(str(reason))


def _exchange() -> Exchange:
    call = ToolCall(name="search", arguments=json.dumps({"query": "night workers"}))
    refused = ToolCall(name="unknown", arguments="{}")
    results = (ToolResult(note="", passages=(MORE,)), ToolResult(note="refused: there is no such tool"))
    return Exchange(text="", calls=(call, refused), results=results)


@pytest.mark.parametrize(
    "draft",
    [
        ASKED,
        Draft(question=ASKED.question, passages=(FOUND,), exchanges=(_exchange(),), tools=ALL),
        Draft(question=ASKED.question, passages=(FOUND,), exchanges=(_exchange(),)),
        FollowUp(question="And for night workers?", history=HISTORY),
    ],
    ids=["offered", "answered", "without", "follow-up"],
)
async def test_a_real_server_takes_what_it_is_sent(settings: LlmSettings, draft: Drafted) -> None:
    """Tools, calls and their results are of the protocol: the reply begins, or asks for tools, and is counted."""
    llm = LlmGateway(settings)
    async with llm.turn(ASKER) as turn:
        first, *_, usage = [piece async for piece in turn.stream(draft)]
    await llm.close()
    assert isinstance(first, Begun | ToolsAsked)
    assert isinstance(usage, Usage)
    assert not usage.estimated
