"""The laws of chunks."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencex import get_sentence_boundaries

from ingest.chunking import cut
from ingest.chunking.sentences import sentence_starts
from ingest.domain import Chunk, Document
from ingest.parsing import parse_file

SENTENCE = "The quick brown fox jumps over the lazy dog number {}. "


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Words and signs, and two special tokens, as BERT would."""
    return [2 + len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def count_by_joining(texts: Sequence[str]) -> list[int]:
    """A tokenizer whose counts do not add up: a sum of parts may be less than the whole."""
    return [2 + len(text) // 4 + text.count(".") * (len(text) // 100) for text in texts]


def count_blobs(texts: Sequence[str]) -> list[int]:
    """A tokenizer to which every word, however long, is one token, and white space none."""
    return [2 + len(text.split()) for text in texts]


def document_of(text: str, name: str = "doc.md", title: str = "Doc") -> Document:
    return parse_file(Path(name), text.encode(), title)


def chunks_of(text: str, max_tokens: int = 64, overlap: int = 0, *, name: str = "doc.md") -> list[Chunk]:
    return cut(document_of(text, name), count_tokens, max_tokens, overlap)


def prose(sentences: int) -> str:
    return "".join(SENTENCE.format(number) for number in range(sentences)).strip()


def assert_laws(document: Document, chunks: Sequence[Chunk], max_tokens: int) -> None:
    uncovered = set(range(len(document.text)))
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert chunk.text == document.text[chunk.char_start : chunk.char_end]
        assert chunk.text.strip()
        assert chunk.token_count <= max_tokens
        uncovered -= set(range(chunk.char_start, chunk.char_end))
    assert all(before.char_start < after.char_start for before, after in pairwise(chunks))
    assert all(document.text[index].isspace() for index in uncovered)


markup = st.lists(
    st.sampled_from(
        [
            *(
                "# Alpha\n\n",
                "## Beta\n\n",
                "### Gamma\n\n",
                "Short one. ",
                "Is it 3.5 or ERR-4012? ",
                "- item\n",
                "\n\n",
            ),
            *(
                "| a | b |\n|---|---|\n| c | d |\n\n",
                "| Head | Foot |\n|---|---|\n" + "| cell | 12 |\n" * 20 + "\n",
                "The following:\n\n- outer item\n  - inner item\n\n",
                "```\ncode = 1\nmore = 2\n```\n\n",
                "> quoted\n\n",
                "---\n\n",
                "word " * 40,
            ),
            *("x" * 300, "😀 ", "\u00a0", "[ref]: http://example.org\n\n", SENTENCE.format(7) * 5),
        ]
    ),
    min_size=1,
    max_size=30,
).map("".join)


@given(
    text=markup,
    name=st.sampled_from(["doc.md", "doc.txt"]),
    max_tokens=st.integers(min_value=20, max_value=120),
    overlap=st.integers(min_value=0, max_value=30),
    counter=st.sampled_from([count_tokens, count_by_joining, count_blobs]),
)
@settings(max_examples=250, deadline=None)
def test_chunks_cover_the_text_in_order_and_fit(
    text: str, name: str, max_tokens: int, overlap: int, counter: Callable[[Sequence[str]], list[int]]
) -> None:
    """Chunks are slices in order that cover all but white space, and none is over, whatever text and tokenizer."""
    if not text.strip():
        return
    document = document_of(text, name)
    chunks = cut(document, counter, max_tokens, overlap)
    assert_laws(document, chunks, max_tokens)
    counts = counter([f"{chunk.context}\n{chunk.text}" for chunk in chunks])
    assert counts == [chunk.token_count for chunk in chunks]


def test_a_small_document_is_one_chunk() -> None:
    """Small sections share a chunk, whose heading path is that of its first content."""
    [chunk] = chunks_of("# Doc\n\nIntro.\n\n## One\n\nFirst.\n\n## Two\n\nSecond.\n")
    assert chunk.heading_path == ("Doc",)
    assert chunk.context == "Doc"


def test_chunks_of_siblings_but_not_of_cousins() -> None:
    """A chunk never goes on from a subsection into another parent's text."""
    chunks = chunks_of("# A\n\n## A1\n\n### A11\n\nOne.\n\n### A12\n\nTwo.\n\n## A2\n\nThree.\n\n# B\n\nFour.\n")
    assert [chunk.heading_path for chunk in chunks] == [("A", "A1", "A11"), ("A", "A2"), ("B",)]
    assert [chunk.context for chunk in chunks] == ["Doc › A › A1 › A11", "Doc › A › A2", "Doc › B"]


def test_sentences_are_never_cut() -> None:
    """Chunks end at the ends of sentences; abbreviations, numbers and codes end none."""
    first = "Siehe z. B. Nr. 5 mit 3,5 Prozent und ERR-4012."
    second = "Der Wert 2.4 gilt laut Dr. Meier bis auf Weiteres."
    chunks = chunks_of(f"{first} {second} " * 12)
    assert len(chunks) > 3
    assert all(chunk.text.startswith((first, second)) for chunk in chunks)
    assert all(chunk.text.endswith((first, second)) for chunk in chunks)


def test_overlap_is_whole_sentences_of_the_section() -> None:
    """Consecutive chunks of a section share whole sentences, at most the tokens allowed."""
    chunks = chunks_of("## One\n\n" + prose(20), overlap=25)
    shared = [before.text[after.char_start - before.char_start :] for before, after in pairwise(chunks)]
    assert all(text.startswith("The quick") and text.endswith(".") for text in shared)
    assert all(count_tokens([text])[0] - 2 <= 25 for text in shared)


def test_no_overlap_across_headings() -> None:
    """What one section ends with is not repeated under the next heading."""
    chunks = chunks_of("".join(f"## H{number}\n\n{prose(4)}\n\n" for number in range(4)), overlap=25)
    assert [chunk.text.startswith("## H") for chunk in chunks] == [True] * 4
    assert all(before.char_end <= after.char_start for before, after in pairwise(chunks))


def test_headings_stay_with_their_text() -> None:
    """No chunk ends with a heading, not even an empty section's."""
    text = "".join(f"# H{number}\n\n## Empty\n\n## Sub\n\n{prose(number)}\n\n" for number in range(1, 9))
    assert not any(re.search(r"^#.*\Z", chunk.text, re.MULTILINE) for chunk in chunks_of(text))


def test_a_heading_with_nothing_after_it_is_kept() -> None:
    """A last heading without text is in a chunk too."""
    assert chunks_of("Text.\n\n# Last\n")[-1].text.endswith("# Last")


@pytest.mark.parametrize("name", ["table", "code"])
def test_tables_and_code_are_kept_whole_where_they_fit(name: str) -> None:
    """A table or code block that fits in a chunk is in one chunk."""
    rows = "| a | b |\n|---|---|\n" + "| cell | 12 |\n" * 5 if name == "table" else "```\n" + "x = f(1)\n" * 6 + "```\n"
    text = f"{prose(4)}\n\n{rows}\n{prose(4)}\n"
    assert any(rows.strip() in chunk.text for chunk in chunks_of(text))


def test_long_tables_and_code_are_cut_between_lines() -> None:
    """What is longer than a chunk is cut at rows and lines."""
    table = "| a | b |\n|---|---|\n" + "| cell | 12 |\n" * 60
    code = "```\n" + "x = f(1)\n" * 60 + "```"
    for text in (table, code):
        lines = set(text.split("\n"))
        assert all(set(chunk.text.split("\n")) <= lines for chunk in chunks_of("# H\n\n" + text)[1:])


def test_what_a_colon_announces_stays_with_it() -> None:
    """A code block is not cut off from the sentence that leads to it."""
    text = f"{prose(4)}\n\nRun this command:\n\n```\nct12 verify logger.pdf\n```\n\n{prose(4)}\n"
    assert any("command:\n\n```\nct12" in chunk.text for chunk in chunks_of(text))


def test_a_sentence_longer_than_a_chunk_is_cut_at_words() -> None:
    """Only a sentence too long for any chunk is cut, and then between words."""
    words = [f"word{number}" for number in range(500)]
    assert " ".join(chunk.text for chunk in chunks_of(" ".join(words))).split() == words


def test_chunks_are_well_filled() -> None:
    """Long prose fills its chunks; the last two share what is left rather than leave a crumb."""
    counts = [chunk.token_count for chunk in chunks_of(prose(62), 128)]
    assert min(counts) >= 0.5 * 128
    assert sum(counts) / len(counts) >= 0.75 * 128


def test_long_contexts_are_shortened_from_the_left() -> None:
    """A context takes at most a quarter: first the headings furthest from the text go, then words."""
    far, near = "far " * 12, "near " * 8
    [chunk] = cut(document_of(f"# {far}\n\n## {near}\n\nText.\n"), count_tokens, 64, 0)
    assert chunk.context == f"Doc › {near.strip()}"
    assert chunk.heading_path == (far.strip(), near.strip())
    [chunk] = cut(document_of("Text.", title="title " * 40), count_tokens, 64, 0)
    assert chunk.context == "title " * 14 + "title…"


def test_a_blob_does_not_make_an_endless_chunk() -> None:
    """Where a tokenizer sees one token in a long blob, or nothing in white space, chunks stay short all the same."""
    for text in ("x" * 100_000, "a" + " " * 100_000 + "b", "a" + "\n" * 100_000 + "b"):
        chunks = cut(document_of(text), count_blobs, 64, 0)
        assert max(len(chunk.text) for chunk in chunks) <= 64 * 64


def test_pages_of_a_chunk() -> None:
    """A chunk knows the first and the last page its text is on; without pages, none."""
    document = Document(
        title="Doc", text="One.\n\nTwo.\n\nThree.", blocks=(), page_starts=(0, 6, 6, 12), content_type="application/pdf"
    )
    [chunk] = cut(document, count_tokens, 64, 0)
    assert (chunk.first_page, chunk.last_page) == (1, 4)
    assert chunks_of("Text.")[0].first_page is None


def test_sections_inside_a_chunk() -> None:
    """A chunk over several small sections says where each begins, and under which headings it stands."""
    text = "# Doc\n\nIntro.\n\n## One\n\nFirst. Again.\n\n## Two\n\nSecond.\n"
    [chunk] = chunks_of(text)
    places = [(section.start, section.heading_path) for section in chunk.sections]
    assert places == [(0, ("Doc",)), (text.index("## One"), ("Doc", "One")), (text.index("## Two"), ("Doc", "Two"))]


def test_every_chunk_begins_with_a_section() -> None:
    """The first section of a chunk begins where the chunk does, even in the middle of the document's section."""
    chunks = chunks_of(f"# A\n\n{prose(20)}\n\n# B\n\n{prose(3)}\n", overlap=25)
    assert len(chunks) > 3
    for chunk in chunks:
        assert [(section.start, section.heading_path) for section in chunk.sections] == [
            (chunk.char_start, chunk.heading_path)
        ]


def test_pages_that_begin_inside_a_chunk() -> None:
    """A chunk has the offsets at which further pages begin inside it, neither at its start nor at its end."""
    text = "\n\n".join(prose(3) for _ in range(4))
    starts = tuple(found.start() for found in re.finditer("The quick brown fox jumps over the lazy dog number 0", text))
    document = Document(title="Doc", text=text, blocks=(), page_starts=starts, content_type="application/pdf")
    [whole] = cut(document, count_tokens, 500, 0)
    assert whole.page_starts == starts[1:]
    for chunk in cut(document, count_tokens, 50, 0):
        assert chunk.page_starts == tuple(start for start in starts if chunk.char_start < start < chunk.char_end)
        assert (chunk.first_page, len(chunk.page_starts)) == (bisect_right(starts, chunk.char_start), _pages(chunk) - 1)


def _pages(chunk: Chunk) -> int:
    return (chunk.last_page or 0) - (chunk.first_page or 0) + 1


def test_long_paragraphs_are_split_as_short_ones_are() -> None:
    """A paragraph that is split window by window has the sentences it would have as a whole."""
    sentence = "The quick (brown. Or) fox No. {0} said “Go. Now.” to Dr. Meier, e.g. {0}.5 times! "
    text = "".join(sentence.format(number) for number in range(1500))
    whole = [each["start_index"] for each in get_sentence_boundaries("en", text)]
    assert list(sentence_starts(text, "en")) == whole[1:]


def repeated(unit: str, length: int = 200_000) -> str:
    return unit * (length // len(unit))


@pytest.mark.parametrize(
    "text",
    [
        f"## a{' ' * 1_000_000}b\n\ntext",
        f"## a{repeated(' #')} b\n\ntext",
        f"# {repeated('[a](', 1_000_000)}\n\ntext",
        f"# {repeated('*a_ ', 1_000_000)}\n\ntext",
        f"# {'![' * 100_000}a{'](b)' * 100_000}\n\ntext",
        repeated(f"# {repeated('[', 1000)}\n\n"),
        f"{repeated('a' + chr(10) + chr(11))}\n===\n\ntext",
        repeated("a. B (“c ", 1_000_000),
        repeated("[*“a! ’b. "),
        f"- a{repeated(' ' + chr(10))}b",
        repeated("- "),
        repeated("> "),
        f"a.{' ' * 200_000}b",
        repeated("x"),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_is_text(text: str) -> None:
    """Runs and nesting without end take time in proportion to their length, and break no law."""
    document = document_of(text)
    assert_laws(document, cut(document, count_blobs, 64, 8), 64)


def test_hostile_headings_are_read_as_far_as_paths_go() -> None:
    """Of a heading without end, the path has the beginning."""
    [chunk] = cut(document_of(f"## a{' ' * 1_000_000}b\n\ntext"), count_blobs, 10**6, 0)
    assert chunk.heading_path == ("a",)
    first, *_ = cut(document_of(f"# {'![' * 300}a{'](b)' * 300}\n\ntext"), count_blobs, 64, 0)
    assert 0 < len(first.heading_path[0]) <= 300


def test_plain_headings_are_no_markdown() -> None:
    """The heading path of plain text is the line itself, less its underline."""
    [first, second] = chunks_of(f"*PUMPS* #\n{prose(3)}\n\nSome Head\n---------\n{prose(3)}\n", name="doc.txt")
    assert first.heading_path == ("*PUMPS* #",)
    assert second.heading_path == ("*PUMPS* #", "Some Head")


def test_few_calls_of_the_tokenizer() -> None:
    """However long a document, its tokens are counted in a handful of batches."""
    calls: list[int] = []

    def counting(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return count_tokens(texts)

    cut(document_of("".join(f"## H{n}\n\n{prose(30)}\n\n" for n in range(50))), counting, 128, 16)
    assert len(calls) <= 8


def table(rows: int, header: str = "| Code | Meaning |") -> str:
    return f"{header}\n|---|---|\n" + "".join(f"| E{n} | part {n} broke |\n" for n in range(rows))


def test_every_part_of_a_table_is_told_its_header() -> None:
    """A table longer than a chunk: each part but the first has the header, and what announces it, in its context."""
    chunks = chunks_of(f"# Errors\n\nThese codes are shown:\n\n{table(40)}")
    assert len(chunks) > 4
    assert "| Code | Meaning |\n|---|---|\n| E0 |" in chunks[0].text
    assert chunks[0].lead == ""
    for chunk in chunks[1:]:
        assert chunk.lead == "These codes are shown:\n| Code | Meaning |"
        assert chunk.context == f"Doc › Errors\n{chunk.lead}"
        assert chunk.text.startswith("| E")


def test_a_table_cut_off_from_its_announcement_is_told_of_it() -> None:
    """A table that begins a chunk goes on from the sentence before it, not from its own header."""
    announced = f"These are the codes {'that one may meet ' * 5}in the hall:"
    [before, whole] = chunks_of(f"{prose(2)} {announced}\n\n{table(4)}", 64)
    assert before.text.endswith(announced)
    assert (whole.lead, whole.text) == (f"{' '.join(announced.split()[:15])}…", table(4).strip())


@pytest.mark.parametrize("header", ["|  |  |", "| - | - |"])
def test_a_table_without_a_header_has_none(header: str) -> None:
    """Where nothing stands over the columns, nothing is repeated."""
    assert {chunk.lead for chunk in chunks_of(table(40, header))} == {""}


def test_items_are_told_what_they_stand_under() -> None:
    """Items of a list that is cut have its lead-in, nested ones also the items above them; what follows has neither."""
    items = "".join(f"- Site {n} is closed\n  - to cars of {n}\n  - to vans of {n}\n" for n in range(12))
    chunks = chunks_of(f"A word. Forbidden are the following:\n\n{items}\n\n{prose(4)}\n")
    assert len(chunks) > 4
    listed = [chunk for chunk in chunks[1:] if chunk.text.startswith("- ")]
    for chunk in listed:
        nested = re.match(r"- to \w+ of (\d+)", chunk.text)
        above = f" Site {nested[1]} is closed" if nested else ""
        assert chunk.lead == f"Forbidden are the following:{above}"
    assert any("Site" in chunk.lead for chunk in listed)
    assert chunks[-1].lead == ""


def test_a_heading_ends_what_was_announced() -> None:
    """What a sentence announces is not told to a list under the next heading."""
    chunks = chunks_of(f"{prose(3)} As follows:\n\n## Next\n\n" + "- One thing is listed here\n" * 30)
    assert {chunk.lead for chunk in chunks} == {""}


def test_what_a_chunk_goes_on_from_is_bounded() -> None:
    """A header of a hundred columns takes at most a fourth of a chunk, and the rows still fit."""
    columns = "|".join(f" column {n} " for n in range(100))
    wide = f"|{columns}|\n|{'---|' * 100}\n" + f"|{' 7 |' * 100}\n" * 20
    document = document_of(wide)
    chunks = cut(document, count_tokens, 64, 0)
    assert_laws(document, chunks, 64)
    assert all(chunk.lead.endswith("…") and count_tokens([chunk.lead])[0] <= 64 / 4 + 2 for chunk in chunks[1:])
