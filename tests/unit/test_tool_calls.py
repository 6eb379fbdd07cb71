"""Calls put together from whatever a server streams, and the arguments of tools."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from retrieval.domain import Tool
from retrieval.generation.prompting import Prompt
from retrieval.generation.reply import ReplyText
from retrieval.generation.tool_calls import MOST_CALLS, MOST_CHARACTERS, ToolCall
from retrieval.generation.tools import BadArguments, named, offered, read_arguments
from retrieval.upstream.faults import Undecided

ALL = frozenset(Tool)
Piece = tuple[int | None, str | None, str | None, str]


def _reply(tools: frozenset[Tool] = ALL, most_tokens: int = 10_000) -> ReplyText:
    return ReplyText(Prompt(system="", user="", tools=offered(tools)), most_tokens)


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> ChatCompletionChunk:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return ChatCompletionChunk.construct(
        None, id="1", object="chat.completion.chunk", created=1, model="m", choices=choices
    )


def _calls(*pieces: Piece) -> tuple[ToolCall, ...]:
    """What comes of these pieces, each an index, an id, a name and a part of the arguments."""
    reply = _reply()
    for index, call_id, name, arguments in pieces:
        function = {"name": name, "arguments": arguments}
        assert reply.take(_chunk({"tool_calls": [{"index": index, "id": call_id, "function": function}]})) == ""
    reply.take(_chunk({}, "tool_calls"))
    return reply.calls


SEARCH, LIST = ToolCall(name="search", arguments='{"query": 1}'), ToolCall(name="list_documents", arguments="{}")


@pytest.mark.parametrize(
    "pieces",
    [
        (
            (0, "a", "search", ""),
            (0, None, None, '{"query"'),
            (0, None, None, ": 1}"),
            (1, "b", "list_documents", "{}"),
        ),
        ((0, "a", "search", ""), (1, "b", "list_documents", "{}"), (0, None, None, '{"query": 1}')),
        ((0, "a", "search", '{"query": 1}'), (0, "b", "list_documents", "{}")),
        ((0, "a", "search", '{"query"'), (0, "a", "search", ": 1}"), (1, "b", "list_documents", "{}")),
        ((None, "a", "search", '{"query"'), (None, None, None, ": 1}"), (None, "b", "list_documents", "{}")),
        ((5, "a", "search", '{"query": 1}'), (7, "", "list_documents", "{}")),
    ],
    ids=["OpenAI's", "interleaved", "index always 0", "id and name repeated", "no index", "odd indexes"],
)
def test_every_servers_way_to_send_calls_comes_to_the_same(pieces: tuple[Piece, ...]) -> None:
    """By index, by id, or each after the one before."""
    assert _calls(*pieces) == (SEARCH, LIST)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-2, 40),
            st.none() | st.sampled_from(["", "a", "b", "c"]),
            st.none() | st.text(max_size=80),
            st.text(max_size=200) | st.just("x" * 3000),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_is_sent_stays_within_bounds(pieces: list[Piece]) -> None:
    """So many calls, names and arguments so long, and nothing raised."""
    calls = _calls(*pieces)
    assert len(calls) <= MOST_CALLS
    assert all(len(call.name) <= 64 and len(call.arguments) <= MOST_CHARACTERS + 1 for call in calls)


def test_a_flood_of_calls_ends_the_reply() -> None:
    """Calls count against what a reply may take, as words do."""
    reply = _reply(most_tokens=100)
    for number in range(1000):
        function = {"name": "search", "arguments": ""}
        reply.take(_chunk({"tool_calls": [{"index": number, "id": str(number), "function": function}]}))
        if reply.whole:
            break
    assert number < 200
    assert not reply.finished


def test_where_no_tools_are_offered_calls_are_nothing() -> None:
    """A reply of nothing but calls that nobody offered is empty, which no breaker counts: a document may ask for it."""
    reply = _reply(frozenset())
    function = {"name": "search", "arguments": "{}"}
    reply.take(_chunk({"tool_calls": [{"index": 0, "id": "a", "function": function}]}))
    with pytest.raises(Undecided):
        reply.take(_chunk({}, "tool_calls"))


@pytest.mark.parametrize("broken", ["tools", [1], [{"index": "x", "function": 5}], {"index": 0}, 7])
def test_what_is_no_call_is_no_protocol(broken: object) -> None:
    """It raises what the endpoint takes for a server that does not speak the protocol."""
    with pytest.raises((AttributeError, TypeError)):
        _reply().take(_chunk({"tool_calls": broken}))


@settings(deadline=None)
@given(st.sampled_from(Tool), st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_arguments_are_read_or_refused(tool: Tool, written: str) -> None:
    """Whatever a model writes: either arguments that the tool takes, or a complaint short enough to send back."""
    complaint = ""
    try:
        read_arguments(tool, written)
    except BadArguments as error:
        complaint = str(error)
    assert len(complaint) < 1000


def test_a_tool_goes_by_its_exact_name() -> None:
    """No other spelling, nothing around it, and none that is not offered."""
    assert named("search", ALL) is Tool.SEARCH
    assert [named(name, ALL) for name in ("Search", " search", "search\n", "", "functions.search")] == [None] * 5
    assert named("search", {Tool.LIST_DOCUMENTS}) is None
