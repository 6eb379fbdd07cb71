"""What the provider does not see, and that nobody who asked notices."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.domain import Served, Usage
from retrieval.generation.llm import Begun, Draft
from retrieval.generation.masking import Masking, MaskingTurn, Restoring
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


@dataclass
class EchoingTurn:
    """Gives back what it was shown, letter by letter."""

    seen: list[Draft] = field(default_factory=list)

    async def stream(self, draft: Draft) -> AsyncGenerator[Begun | str | Usage, None]:
        self.seen.append(draft)
        yield Begun(served=Served(endpoint="echo", model="echo", attempts=1), passages=draft.passages)
        for character in draft.question + draft.passages[0].passage.text:
            yield character
        yield Usage(prompt_tokens=1, completion_tokens=1, estimated=False)


async def test_the_provider_sees_no_personal_data() -> None:
    """Question, text, title and headings go out masked; words and passages come back as they are stored."""
    echo, passage = EchoingTurn(), ranked(1, f"Write to {ADA}.", title=f"About {ADA}")
    draft = Draft(question=f"Who is {ADA}?", passages=(passage,))
    pieces = [piece async for piece in MaskingTurn(echo).stream(draft)]
    assert ADA not in str(echo.seen)
    assert isinstance(pieces[0], Begun)
    assert pieces[0].passages == (passage,)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == f"Who is {ADA}?Write to {ADA}."
    assert isinstance(pieces[-1], Usage)
    assert all(piece != "" for piece in pieces)


async def test_closing_the_answer_closes_the_call() -> None:
    """A reader who leaves ends the upstream call, masked or not."""
    ended = asyncio.Event()

    class EndlessTurn(EchoingTurn):
        async def stream(self, draft: Draft) -> AsyncGenerator[Begun | str | Usage, None]:
            try:
                async for piece in super().stream(draft):
                    yield piece
            finally:
                ended.set()

    stream = MaskingTurn(EndlessTurn()).stream(Draft(question="Who?", passages=(ranked(1, "x"),)))
    await anext(stream)
    await stream.aclose()
    assert ended.is_set()
