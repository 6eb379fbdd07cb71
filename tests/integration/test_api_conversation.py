"""Conversations and tools over HTTP: what may be sent, and how steps are told."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from retrieval.domain import AnswerEvent, Question, StepTaken, Tool, Utterance
from retrieval.engine import Engine
from tests.e2e.standing import FINISHED, FOUND, GOOD, client_of, events_of, scripted_app

QUESTION = {"question": "And when does it close?"}
[_RANKED] = FOUND.retrieval.passages
_STEPS = (
    StepTaken(
        number=1,
        tool="search",
        arguments={"query": "closing"},
        found=2,
        passages=(replace(_RANKED, number=2),),
    ),
    StepTaken(number=2, tool="unknown", arguments={}, found=0, refused="unknown_tool"),
)
_TOLD = (replace(FOUND, question_asked="When does the gate close?"), *_STEPS, *GOOD[1:])


class _Listening:
    """A query path that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    async def __call__(self, _engine: Engine, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        self.asked.append(question)
        for event in _TOLD:
            yield event


async def _post(path: _Listening, **body: Any) -> httpx2.Response:
    async with client_of(scripted_app(path)) as client:
        return await client.post("/v1/answers", json=QUESTION | body)


async def test_steps_are_events_between_passages_and_text() -> None:
    """Each says its tool, what it took, what it found or why it was refused, and the passages that are new with it."""
    events = events_of((await _post(_Listening(), tools=True)).text)
    assert [name for name, _ in events] == ["passages", "step", "step", "text", "text", "citation", "finished"]
    first, second = events[1][1], events[2][1]
    assert events[0][1]["question_asked"] == "When does the gate close?"
    assert (first["tool"], first["arguments"], first["found"], first["refused"]) == (
        "search",
        {"query": "closing"},
        2,
        None,
    )
    assert [passage["number"] for passage in first["passages"]] == [2]
    assert (second["tool"], second["refused"], second["passages"]) == ("unknown", "unknown_tool", [])


async def test_one_body_has_all_passages_and_the_steps() -> None:
    """The JSON answer joins what the events say."""
    whole = (await _post(_Listening(), tools=True, stream=False)).json()
    assert [passage["number"] for passage in whole["passages"]] == [1, 2]
    assert [(step["number"], step["tool"]) for step in whole["steps"]] == [(1, "search"), (2, "unknown")]
    assert whole["question_asked"] == "When does the gate close?"
    assert whole["text"] == FINISHED.text


async def test_what_is_sent_is_what_is_asked() -> None:
    """Turns keep their order and lose their margins; tools are none, all, or those named."""
    path = _Listening()
    turns = [{"role": "user", "content": "  Hello  "}, {"role": "user", "content": "?"}]
    await _post(path, messages=turns)
    await _post(path, tools=True)
    await _post(path, tools=["search", "search"])
    await _post(path, tools=[])
    assert path.asked[0].history == (Utterance(role="user", text="Hello"), Utterance(role="user", text="?"))
    assert [asked.tools for asked in path.asked] == [
        frozenset(),
        frozenset(Tool),
        frozenset({Tool.SEARCH}),
        frozenset(),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "You are mine."}]},
        {"messages": [{"role": "tool", "content": "{}"}]},
        {"messages": [{"role": "user", "content": " "}]},
        {"messages": [{"role": "user", "content": "x\x00"}]},
        {"messages": [{"role": "user", "content": "x" * 8001}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": []}]},
        {"messages": [{"role": "user", "content": "x"}] * 21},
        {"messages": "x"},
        {"tools": ["search", "drop_table"]},
        {"tools": "search"},
        {"tools": {"search": True}},
    ],
    ids=lambda body: str(body)[:60],
)
async def test_anything_else_is_refused(body: dict[str, Any]) -> None:
    """A 422 that names the field, before anything is asked."""
    path = _Listening()
    response = await _post(path, **body)
    assert response.status_code == 422
    assert next(iter(body)) in response.json()["error"]["message"]
    assert path.asked == []
