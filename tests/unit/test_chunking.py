"""The laws of chunks."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.chunking import cut
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
