"""Markers are verified, whatever the model writes and however its text is cut."""

import re
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.domain import Candidate, ChunkKey, Citation, CitationFound, Passage, RankedPassage, TextDelta
from retrieval.generation.citations import CitationStream, CitedText, Visible

LEAVE = "## Leave\n\nAnnual leave is 30 working days. **Night workers** get three more days.\n\nAsk in the portal."
SCANNER = "# Scanner\n\n| Light | Meaning |\n|---|---|\n| Red | Wrong lane |\n| Amber | Not connected, code QH-7 |\n"
OFFSET = 1000


def ranked(number: int, text: str, title: str = "Handbook") -> RankedPassage:
    key = ChunkKey(document_id=UUID(int=number), ordinal=0)
    passage = Passage(
        key=key,
        version=1,
        uri=f"doc/{number}",
        title=title,
        heading_path=(),
        text=text,
        char_start=OFFSET,
        char_end=OFFSET + len(text),
        first_page=None,
        last_page=None,
    )
    found = Candidate(key=key, dense_rank=1, lexical_rank=1, cosine=0.5, bm25=1.0, score=0.5)
    return RankedPassage(number=number, passage=passage, candidate=found)


PASSAGES = (ranked(1, LEAVE), ranked(2, SCANNER))


async def read(*pieces: str, visible: Visible | None = None) -> tuple[CitedText, list[TextDelta | CitationFound]]:
    """The whole answer and all its events."""
    stream = CitationStream(PASSAGES, visible)
    events = [event for piece in pieces for event in await stream.feed(piece)]
    answer = await stream.finish()
    return answer, [*events, *answer.events]


async def quotes(text: str) -> list[str]:
    return [citation.quote for citation in (await read(text))[0].citations]


async def test_a_supported_claim_cites_its_sentence() -> None:
    """A claim cites the passage's sentence that supports it, at its true place in the document."""
    answer, events = await read("You get 30 days of annual leave [1].")
    (citation,) = answer.citations
    assert answer.text == "You get 30 days of annual leave [1]."
    assert citation.quote == "Annual leave is 30 working days."
    assert citation.char_start == OFFSET + LEAVE.index("Annual")
    assert 0.2 < citation.support <= 1
    assert events[-1] == TextDelta(text=".")
    assert CitationFound(citation=citation) in events


async def test_a_table_row_is_cited_whole() -> None:
    """In a table the row supports the claim, not its header."""
    assert await quotes("An amber light means not connected [2].") == ["| Amber | Not connected, code QH-7 |"]


@pytest.mark.parametrize(
    "quoted",
    [
        '"night workers get three more"',
        "“Night  workers\u00a0get THREE more days.”",
        "„Night workers get three more days“",
        "«Night workers get three more days»",
    ],
)
async def test_a_true_quotation_is_cited_exactly(quoted: str) -> None:
    """A quotation is found through case, white space, quote marks and emphasis, and cited at exactly its span."""
    ((citation,)) = (await read(f"It says {quoted} [1]."))[0].citations
    assert LEAVE[citation.char_start - OFFSET : citation.char_end - OFFSET] == citation.quote
    assert citation.quote.casefold().endswith(("more", "days"))
    assert citation.support == 1


@pytest.mark.parametrize(
    "claim",
    [
        'The handbook says "annual leave is 35 working days" [1].',
        'It says "annual leave is 30 working days" and "it is paid in advance in May" [1].',
        'It says "annual leave is 30 working days" [2].',
        'It says "0 working days. Night workers get" [1].',
        "Pluto orbits beyond Neptune [1].",
        "You get 30 days of annual leave [3].",
        "[1] begins with nothing to cite.",
        "- [1]",
    ],
    ids=["changed", "one of two", "other passage", "cut number", "unsupported", "no such passage", "no claim", "item"],
)
async def test_what_the_passage_does_not_say_is_rejected(claim: str) -> None:
    """A marker whose claim does not stand in its passage is taken out of the text and counted."""
    answer, _ = await read(claim)
    assert answer.citations == ()
    assert answer.rejected == 1
    assert "[" not in answer.text


@pytest.mark.parametrize(
    "claim",
    ["An amber light means not connected, code QH-8 [2].", 'On day 45 "Annual leave is 30 working days" ends [1].'],
)
async def test_a_number_that_was_not_shown_is_rejected(claim: str) -> None:
    """A wrong number makes the claim wrong, however many of its words or quotations are right."""
    answer, _ = await read(claim)
    assert (answer.citations, answer.rejected) == ((), 1)


@pytest.mark.parametrize("tail", ["incl. heating", "approx. as agreed", "zzgl. Strom", "max. per flat", "bzw. mehr"])
async def test_an_abbreviation_ends_no_claim(tail: str) -> None:
    """A wrong number does not hide before the full stop of an abbreviation."""
    stream = CitationStream([ranked(1, f"The deposit for a rented flat is 500 euros, {tail}.")])
    await stream.feed(f"The deposit for a flat is 900 euros, {tail} [1].")
    assert (await stream.finish()).rejected == 1


async def test_a_title_in_quotation_marks_is_no_quotation() -> None:
    """Naming a document's title does not make the claim a quotation of its text."""
    stream = CitationStream([ranked(1, LEAVE, title="Handbook of leave and absence")])
    await stream.feed('"Handbook of leave and absence" grants 30 days of annual leave [1].')
    assert (await stream.finish()).rejected == 0


async def test_a_span_is_cited_once() -> None:
    """The same sentence cited twice is one citation with two markers."""
    answer, events = await read("Annual leave is 30 days [1]. So annual leave is 30 days [1].")
    assert answer.text.count("[1]") == 2
    assert sum(isinstance(event, CitationFound) for event in events) == len(answer.citations) == 1


async def test_code_cites_nothing() -> None:
    """Brackets in code are code, on a line and in a block; after it citing goes on."""
    text = "Use `x[1]`:\n```python\ny = x[9]\n```\nAnnual leave is 30 days [9]."
    answer, _ = await read(text)
    assert answer.text == text.replace(" [9].", ".")
    assert answer.rejected == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 100])
async def test_three_backticks_in_a_line_open_no_block(cut: int) -> None:
    """Code in three backticks at a line's start ends in its line: what follows is verified."""
    text = "```x[1]``` is code [9]\n```\ny[9]\n```\nand text [9]."
    answer, _ = await read(*(text[at : at + cut] for at in range(0, len(text), cut)))
    assert answer.text == "```x[1]``` is code\n```\ny[9]\n```\nand text."


async def test_unclosed_backticks_hide_no_marker() -> None:
    """A stray backtick does not carry an invented marker past us."""
    answer, _ = await read("A stray ` and a claim [9]\nand more.")
    assert answer.text == "A stray ` and a claim\nand more."


async def test_taking_out_leaves_clean_text() -> None:
    """Where a marker was, neither doubled nor missing blanks are left, nor a marker made of what was around it."""
    assert (await read("One [9] two [8][9]. Three[9]four [9]five."))[0].text == "One two. Threefour five."
    assert (await read("[[9]1]"))[0].text == ""


async def test_what_the_caller_may_no_longer_see_is_not_cited() -> None:
    """A citation that `visible` denies is rejected like an invented one."""

    async def visible(citation: Citation) -> bool:
        return citation.number != 1

    answer, events = await read("Annual leave is 30 working days [1]. Amber: not connected [2].", visible=visible)
    assert answer.text == "Annual leave is 30 working days. Amber: not connected [2]."
    assert [citation.number for citation in answer.citations] == [2]
    assert not [event for event in events if isinstance(event, CitationFound) and event.citation.number == 1]


async def test_nothing_is_held_longer_than_needed() -> None:
    """Plain text passes at once; only what may still become a marker waits."""
    stream = CitationStream(PASSAGES)
    assert await stream.feed("Annual leave") == (TextDelta(text="Annual leave"),)
    assert await stream.feed(" [") == ()
    assert await stream.feed("sic]") == (TextDelta(text=" [sic]"),)


FRAGMENTS = st.sampled_from(
    [
        *("Annual leave is 30 working days", "Night workers", "not connected", "QH-7", "Pluto", "three more days"),
        *("[1]", "[2]", "[3]", "[0]", "[1, 2]", "[1-9]", "[^2]", "【1】", "【2†x.md】", "[Passage 1]", "[2025]", "[x]"),
        *("[1][2]", "[1] [2]", "[1 and 2]", "[9, p. 3]", "[**9**]", "[see ", " und ", "p. 3", "\u200b", "[passage 9"),
        *(
            "[",
            "]",
            "[[",
            "]]",
            "1",
            "9",
            ",",
            "–",
            "^",
            "†",
            "【",
            "】",
            "`",
            "``",
            "```",
            "```\n",
            '"',
            "“",
            "”",
            "„",
        ),
        *(" ", "  ", "\n", "\n\n", ". ", ".", "- ", "|", "…", "ß", "😀", "\u00a0", "\t", "٣", "[٣]"),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=40).map("".join) | st.text('[]【】1,9 `\nab."†^–', max_size=60)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=30)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@settings(deadline=None)
@given(cut_texts())
async def test_cutting_makes_no_difference(pieces: list[str]) -> None:
    """However a text is cut into pieces, the same text, citations and rejections come out."""
    in_pieces, events = await read(*pieces)
    whole, _ = await read("".join(pieces))
    assert (in_pieces.text, in_pieces.citations, in_pieces.rejected) == (whole.text, whole.citations, whole.rejected)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == in_pieces.text
    found = [event.citation for event in events if isinstance(event, CitationFound)]
    assert tuple(found) == in_pieces.citations


@settings(deadline=None)
@given(cut_texts())
async def test_citations_point_inside_their_source(pieces: list[str]) -> None:
    """Every citation's quote is the stored text at exactly its span, in a passage that was shown."""
    answer, _ = await read(*pieces)
    for citation in answer.citations:
        text = PASSAGES[citation.number - 1].passage.text
        assert citation.quote == text[citation.char_start - OFFSET : citation.char_end - OFFSET]
        assert citation.quote
        assert 0 < citation.support <= 1


@settings(deadline=None)
@given(cut_texts())
async def test_no_unverified_marker_survives(pieces: list[str]) -> None:
    """Outside code, every `[n]` that is shown belongs to a citation that was given."""
    answer, _ = await read(*(piece.replace("`", "") for piece in pieces))
    shown = {
        int(number) for number in re.findall(r"[\[【［]\s{0,3}(\d{1,3})\s{0,3}[\]】］]", answer.text.replace("\n", "¶"))
    }
    assert shown <= {citation.number for citation in answer.citations}
