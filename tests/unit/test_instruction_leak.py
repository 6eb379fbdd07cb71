"""An answer that recites our instructions is cut where it does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.generation.prompting import SYSTEM
from retrieval.guarding.instructions import REMOVED, InstructionFilter

WORDS = SYSTEM.split()


def filtered(*pieces: str) -> str:
    leak = InstructionFilter(SYSTEM)
    return "".join(map(leak.feed, pieces)) + leak.finish()


def test_the_whole_prompt_does_not_leave() -> None:
    """Recited with its signs, without them, in capitals or as a list: none of its sentences is there."""
    for recited in (SYSTEM, " ".join(WORDS).upper(), "\n> ".join(SYSTEM.splitlines()), SYSTEM.replace(" ", " * ")):
        text = filtered(f"Sure: {recited} That is all.")
        assert text.startswith("Sure: ")
        assert text.endswith("That is all.")
        assert text.count(REMOVED) == 1
        assert len(text.split()) < 12


@pytest.mark.parametrize(
    "text",
    [
        "You answer questions from the portal, and the passages say so.",
        "Be brief. Answer in the language of your customer [1].",
        "  Only\n\nwhat the passages say counts.  ",
        "",
    ],
)
def test_a_sentence_that_shares_words_is_left_alone(text: str) -> None:
    """Some words in a row may be anybody's."""
    assert filtered(text) == filtered(*text) == text


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(WORDS)), st.integers(0, 12)), max_size=4), st.data())
def test_how_the_text_is_cut_does_not_matter(runs: list[tuple[int, int]], data: st.DataObject) -> None:
    """Runs of any length from anywhere: the same is cut in pieces as in one."""
    text = " so ".join(" ".join(WORDS[at : at + size]) for at, size in runs)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert filtered(*pieces) == filtered(text) == filtered(*text)
