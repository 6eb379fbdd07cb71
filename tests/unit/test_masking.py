"""What the provider does not see, and that nobody who asked notices."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.domain import RankedPassage, Served, Tool, Usage, Utterance
from retrieval.generation.drafts import Draft, Drafted
from retrieval.generation.follow_ups import FollowUp
from retrieval.generation.llm import Begun, ToolsAsked, Turn
from retrieval.generation.masking import MaskedDraft, Masking, MaskingTurn, Restoring
from retrieval.generation.prompting import Message, Prompt
from retrieval.generation.tool_calls import Exchange, ToolCall, ToolResult
from retrieval.guarding import redacting
from retrieval.guarding.patterns import PII, Pattern
from retrieval.guarding.redacting import Found, every, find
from tests.unit.test_citations import ranked

ADA, IBAN = "ada@acme.example", "DE89 3704 0044 0532 0130 00"
PARTS = [
    *(ADA, IBAN, "bob.b@acme.example", "+49 30 1234-5678", "4111 1111 1111 1111", "078-05-1120", "⟦", "⟧", "[", "]"),
    *(
        "⟦email-1⟧",
        "[EMAIL 2]",
        "⟦email-",
        "email-1",
        "⟦⟦email-1⟧⟧",
        "<<iban-1>>",
        "⟦email-01⟧",
        "(phone 1)",
        " ",
        "-1",
        "@",
    ),
]
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=4)), max_size=8).map("".join)


def restored(masking: Masking, text: str, cuts: list[int]) -> str:
    restoring = Restoring(masking)
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return "".join(map(restoring.feed, pieces)) + restoring.finish()


@settings(deadline=None, max_examples=300)
@given(TEXTS, TEXTS, st.data())
def test_what_is_masked_comes_back_as_it_was(text: str, other: str, data: st.DataObject) -> None:
    """For any text, lookalikes of placeholders in it included, and however the masked text is cut."""
    masking = Masking([text, other])
    masked, again = masking.mask(text), masking.mask(other)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(masked)), max_size=6)))
    assert restored(masking, masked, cuts) == text
    assert restored(masking, masked, list(range(len(masked)))) == text
    assert restored(masking, again, []) == other


@given(text=TEXTS)
@settings(deadline=None)
def test_all_matches_at_once_are_those_found_one_after_another(text: str) -> None:
    """What is read once holds what is found by beginning again after each match."""
    expected, at = list[Found](), 0
    while found := find(text, PII, at):
        expected.append(found)
        at = found.end
    assert list(every(text, PII)) == expected


def test_a_directory_of_addresses_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pattern looks to the text's end after each match of another: that held up everybody for seconds."""
    sought, first = list[str](), redacting._first

    def counting(text: str, pattern: Pattern, start: int) -> Found | None:
        sought.append(pattern.name)
        return first(text, pattern, start)

    monkeypatch.setattr(redacting, "_first", counting)
    Masking().mask(" ".join(f"a{number}@acme.example" for number in range(100)))
    assert Counter(sought) == {**dict.fromkeys((pattern.name for pattern in PII), 1), "email": 101}


def test_the_same_words_have_the_same_placeholder() -> None:
    """Within a request the model can tell who is who, and not who it is."""
    masking = Masking([])
    masked = masking.mask(f"{ADA} wrote to bob@acme.example and {ADA} again, from {IBAN}.")
    assert masked == "⟦email-1⟧ wrote to ⟦email-2⟧ and ⟦email-1⟧ again, from ⟦iban-1⟧."


@pytest.mark.parametrize(
    "written",
    [
        *("⟦EMAIL-1⟧", "[email-1]", "[[Email 1]]", "{email_1}"),
        *("<email-1>", "⟦ email–1 ⟧", "【email-1】", "(email 1)"),
    ],
)
def test_a_mangled_placeholder_is_understood(written: str) -> None:
    """Models change brackets, case and hyphens."""
    masking = Masking([])
    masking.mask(ADA)
    text = f"Ask {written}."
    assert restored(masking, text, list(range(len(text)))) == f"Ask {ADA}."
    assert restored(masking, "Ask ⟦email-2⟧ or ⟦email⟧ or email-1.", []) == "Ask ⟦email-2⟧ or ⟦email⟧ or email-1."


class EchoingTurn:
    """Gives back the question and the passages as it was shown them, letter by letter."""

    def __init__(self) -> None:
        self.seen = list[Prompt]()

    async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
        self.seen.append(draft.prompt(draft.passages))
        yield Begun(served=Served(endpoint="echo", model="echo", attempts=1), passages=draft.passages)
        for character in self.seen[-1].user:
            yield character
        yield Usage(prompt_tokens=1, completion_tokens=1, estimated=False)


def _masked(turn: EchoingTurn, draft: Draft) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
    return MaskingTurn(cast("Turn", turn)).stream(draft)


async def test_the_provider_sees_no_personal_data() -> None:
    """All but our instructions goes out masked; words and passages come back as they are stored."""
    echo, passage = EchoingTurn(), ranked(1, f"Write to {ADA}.", title=f"About {ADA}")
    call = ToolCall(name="search", arguments=json.dumps({"query": ADA}))
    brought = ToolResult(note=f"{ADA} is in it")
    draft = Draft(
        question=f"Who is {ADA}?",
        passages=(passage,),
        history=(Utterance(role="user", text=f"Do you know {ADA}?"),),
        exchanges=(Exchange(text=f"Looking for {ADA}", calls=(call,), results=(brought,)),),
        tools=frozenset(Tool),
    )
    pieces = [piece async for piece in _masked(echo, draft)]
    assert ADA in "".join(draft.prompt((passage,)).texts)
    assert ADA not in "".join(echo.seen[0].texts)
    assert isinstance(pieces[0], Begun)
    assert pieces[0].passages == (passage,)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == draft.prompt((passage,)).user
    assert isinstance(pieces[-1], Usage)
    assert all(piece != "" for piece in pieces)


async def test_tools_are_called_with_the_words_themselves() -> None:
    """A model that asks for a placeholder is given what it stands for."""

    class AskingTurn(EchoingTurn):
        async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
            draft.prompt(draft.passages)
            yield ToolsAsked(calls=(ToolCall(name="search", arguments='{"query": "[[Email-1]]"}'),), text="")

    [asked] = [piece async for piece in _masked(AskingTurn(), Draft(question=ADA, passages=()))]
    assert isinstance(asked, ToolsAsked)
    assert json.loads(asked.calls[0].arguments) == {"query": ADA}


async def test_json_stays_json() -> None:
    """Strings are masked one by one: an escape before them is no part of them, and a number is none."""
    card, query = 4111111111111111, f"Write\tto\n{ADA}"
    call = {"id": "call00000", "function": {"name": "search", "arguments": json.dumps({"query": query})}}
    shape = {"const": card, "description": query}

    class Shaped(FollowUp):
        def prompt(self, _shown: Sequence[RankedPassage]) -> Prompt:
            later = (Message(role="assistant", text="", calls=(call,)),)
            return Prompt(system="", user="", later=later, response_format=shape)

    masking = Masking()
    prompt = MaskedDraft(Shaped(question="", history=()), masking).prompt(())
    assert ADA not in "".join(prompt.texts)
    assert prompt.response_format == shape | {"description": masking.mask(query)}
    arguments = json.loads(prompt.later[0].calls[0]["function"]["arguments"])
    assert {name: masking.restore(value) for name, value in arguments.items()} == {"query": query}


async def test_closing_the_answer_closes_the_call() -> None:
    """A reader who leaves ends the upstream call, masked or not."""
    ended = asyncio.Event()

    class EndlessTurn(EchoingTurn):
        async def stream(self, draft: Drafted) -> AsyncGenerator[Begun | ToolsAsked | str | Usage, None]:
            try:
                async for piece in super().stream(draft):
                    yield piece
            finally:
                ended.set()

    stream = _masked(EndlessTurn(), Draft(question="Who?", passages=(ranked(1, "x"),)))
    await anext(stream)
    await stream.aclose()
    assert ended.is_set()
