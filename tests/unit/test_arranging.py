"""Quotations first, copies last, nothing lost."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.domain import Candidate, ChunkKey, Passage
from retrieval.search.arranging import arrange
from retrieval.search.fusion import FusedPassage
from retrieval.search.phrases import held, quoted

PUMP = "The red pump needs oil every week and its filter lasts ninety days before somebody has to clean it by hand."


def found(number: int, text: str, title: str = "Handbook") -> FusedPassage:
    """A passage of document `number`, the better the smaller the number."""
    key = ChunkKey(document_id=UUID(int=number), ordinal=0)
    passage = Passage(
        key=key,
        uri=f"doc/{number}",
        version=1,
        title=title,
        heading_path=(),
        text=text,
        char_start=0,
        char_end=len(text),
        first_page=None,
        last_page=None,
    )
    candidate = Candidate(key=key, dense_rank=number, lexical_rank=None, cosine=0.5, bm25=0.0, score=1 / number)
    return FusedPassage(candidate=candidate, passage=passage, context=title)


def numbers(passages: tuple[FusedPassage, ...]) -> list[int]:
    return [each.passage.key.document_id.int for each in passages]


@pytest.mark.parametrize(
    "question",
    [
        'Who wrote "red pump"?',
        "Who wrote “red pump”?",
        "Wer schrieb „red pump“?",
        "Wer schrieb „red pump”?",
        "Qui a écrit « red pump » ?",
        "Wer schrieb »red pump«?",
    ],
)
def test_quotation_marks_of_several_languages_are_read(question: str) -> None:
    """Straight, English, German and French marks enclose a quotation."""
    assert quoted(question) == ("red pump",)


@pytest.mark.parametrize("question", ["What's Ada's pump?", 'a 5" pipe', '""', '"?!"', 'an "open one', "“”"])
def test_what_is_no_quotation(question: str) -> None:
    """Apostrophes, inches, marks around nothing and marks never closed quote nothing."""
    assert quoted(question) == ()


def test_few_quotations_are_enough() -> None:
    """Each is looked up, so their number is bounded; the same one counts once."""
    assert quoted('"a1" "b2" "a1" "c3" "d4"') == ("a1", "b2", "c3")


@pytest.mark.parametrize(
    ("quotation", "text", "holds"),
    [
        ("red pump", "the Red\nPump.", True),
        ("red pump", "the **red** pump", True),
        ("ERR-4012", "see (err-4012)", True),
        ("to be or not to be", "To be, or not to be: that", True),
        ("red pump", "the pump is red", False),
        ("red pump", "the red pumps", False),
        ("red pump", "the bored pump", False),
        ("Straße 5", "in der STRASSE 5", True),
    ],
)
def test_what_holds_a_quotation(quotation: str, text: str, holds: bool) -> None:
    """The same words in the same order hold it, whatever their case and what is between them."""
    assert held([quotation], text) == holds


def test_who_holds_the_quotation_comes_first() -> None:
    """Passages with the quoted words come first, in their order; the others stay behind them, in theirs."""
    passages = [found(1, "pump, red"), found(2, "blue"), found(3, "the red pump"), found(4, "a red pump, again")]
    assert numbers(arrange(passages, ["red pump"], 10).passages) == [3, 4, 1, 2]


def test_a_quotation_that_nobody_holds_changes_nothing() -> None:
    """The words are searched for all the same, and nothing is left out."""
    passages = [found(1, "pump, red"), found(2, "blue")]
    assert arrange(passages, ["green pump"], 10).passages == tuple(passages)


def test_copies_are_moved_behind_and_named() -> None:
    """Of passages that say the same the best stays, and says which documents also do; other passages move up."""
    passages = [found(1, PUMP), found(2, PUMP), found(3, PUMP + " Really.", "Copy of the handbook"), found(4, "blue")]
    arranged = arrange(passages, (), 10).passages
    assert numbers(arranged) == [1, 4, 2, 3]
    assert arranged[0].duplicates == (UUID(int=2), UUID(int=3))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (PUMP.replace("ninety", "90").replace("week", "2"), "Handbook"),
        (PUMP.replace("needs", "needs no"), "Handbook"),
        (PUMP.replace("red", "red, not blue,"), "Handbook"),
        (PUMP, "Handbook 2024"),
        (PUMP.replace("clean", "break"), "Handbook"),
        (PUMP.replace("pump", "x").replace("filter", "pump").replace("x", "filter"), "Handbook"),
    ],
)
def test_editions_that_differ_in_what_counts_are_no_copies(text: str, title: str) -> None:
    """A number, a negation, a year in the title, one word for another, another order: both stay where they are."""
    passages = [found(1, PUMP), found(2, text, title), found(3, "blue")]
    assert numbers(arrange(passages, (), 10).passages) == [1, 2, 3]


def test_copies_fill_up_where_there_is_room() -> None:
    """Nothing is lost: with nothing else to show, copies are shown."""
    assert numbers(arrange([found(at, PUMP) for at in (1, 2, 3)], (), 10).passages) == [1, 2, 3]


def test_arranging_again_changes_nothing() -> None:
    """After a reranker the same is done once more: what was told of copies is not forgotten."""
    once = arrange([found(1, PUMP), found(2, PUMP), found(3, "blue"), found(4, "the red pump")], ["red pump"], 3)
    assert arrange(once.passages, ["red pump"], 3) == once


@given(
    st.lists(st.sampled_from([PUMP, PUMP + " Really.", "blue", "the red pump", "red 1", "red 2"]), max_size=12),
    st.integers(1, 12),
)
def test_nothing_is_lost_and_no_copy_crowds(texts: list[str], wanted: int) -> None:
    """The same passages come out, and no two of the first `wanted` say the same while others wait behind them."""
    passages = [found(at, text) for at, text in enumerate(texts, start=1)]
    arranged = arrange(passages, (), wanted).passages
    assert sorted(numbers(arranged)) == sorted(numbers(tuple(passages)))
    different = len({text.removesuffix(" Really.") for text in texts})
    first = [each.passage.text.removesuffix(" Really.") for each in arranged[: min(wanted, different)]]
    assert len(set(first)) == len(first)
    assert arrange(passages, (), wanted).distinct == len(first)
