"""Markers are read in every shape models write, side by side, and in no more time than their text deserves."""

import time

import pytest

from tests.unit.test_citations import read


async def test_all_shapes_of_markers_become_one() -> None:
    """Lists, ranges, footnotes, full-width brackets and labels are read, and shown as `[n]`."""
    claim = "Annual leave is 30 working days"
    for shape in (
        "[1]",
        "[ 1 ]",
        "[^1]",
        "【1】",
        "【1†leave.md】",
        "［1］",
        "[Passage 1]",
        "[source: 1]",
        "[1, 9]",
        "[1–1]",
    ):
        answer, _ = await read(f"{claim} {shape}.")
        assert answer.text == f"{claim} [1]."
        assert len(answer.citations) == 1


@pytest.mark.parametrize(
    "marker",
    [
        *("[9 and 8]", "[9 & 8]", "[9, p. 3]", "[passage 9, passage 8]", "[Quellen 9 und 8]", "[9, 8 und 7]"),
        *("[Passage #9]", "[see 9]", "[9/8]", "[**9**]", "[\u200b9]", "[9\u200d]", "[9, 8, and 7]", "[9 to 7]", "[#9]"),
        *("[9;\ufeff8]", "[see passages 9 and 8, pp. 3–4]", "【__9__】", "[siehe Quelle Nr. 9, Seite 3]", "[^9, ^8]"),
    ],
)
async def test_no_shape_of_a_marker_escapes(marker: str) -> None:
    """Whatever a model writes around a passage's number, it is verified, taken out and counted."""
    answer, _ = await read(f"Annual leave is 30 working days {marker}.")
    assert answer.text == "Annual leave is 30 working days."
    assert answer.rejected >= 1
    kept, _ = await read(f"Annual leave is 30 working days {marker.replace('9', '1')}.")
    assert kept.text == "Annual leave is 30 working days [1]."


@pytest.mark.parametrize("text", ["[sic]", "[p. 3]", "[2025]", "[1st edition]", "[a]", "[see below]", "[1.5]", "[]"])
async def test_other_brackets_stay(text: str) -> None:
    """What only resembles a marker is text."""
    assert (await read(f"Leave {text} ends."))[0].text == f"Leave {text} ends."


async def test_neighbours_share_their_claim() -> None:
    """Markers side by side stand for the same words, and a marker in mid-sentence for what is before it."""
    answer, _ = await read("Annual leave is 30 working days [1][2]; an amber light means not connected [2].")
    assert [citation.number for citation in answer.citations] == [1, 2]
    assert answer.text.count("[2]") == 1
    assert answer.rejected == 1


async def test_a_hostile_text_takes_no_time() -> None:
    """Thousands of half markers, blanks and backticks are read in linear time and kept as they are."""
    text = "[1 " * 2000 + " " * 3000 + "x" + "[" * 2000 + "`" * 2000 + "x"
    started = time.thread_time()  # how busy the machine is does not count
    answer, _ = await read(text)
    assert answer.text == text
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "[" * 4800,
        '"a b c d e" [1] ' * 320,
        '"Annual leave is 30 … working days" [1] ' * 120,
        "[9] [" * 960,
        "[1][" * 1200,
    ],
)
async def test_a_hostile_text_in_small_pieces_takes_no_time(text: str) -> None:
    """Openings without end, and the same claim again and again, cost each little more than once."""
    started = time.thread_time()  # how busy the machine is does not count
    await read(*(text[at : at + 4] for at in range(0, len(text), 4)))
    assert time.thread_time() - started < 1.5
