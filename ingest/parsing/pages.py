"""From the lines of pages to one text with paragraphs, headings and page starts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ingest.parsing.plain import LIST_ITEM
from ingest.parsing.running_heads import without_running_heads

_NUMBERING = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[A-Z]\.|§\s*\d+)\s+")
_SENTENCE_END = re.compile(r"""[.!?:;]["'”“’)\]]*$""")
_WIDER_GAP = 1.25  # times its neighbours, and a gap between lines ends a paragraph
_LONGEST_TITLE = 4  # lines


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page and the height it stands at, growing upwards."""

    text: str
    y: float


@dataclass(frozen=True, slots=True)
class Bookmark:
    """An entry of the outline; `page` counts from 0."""

    title: str
    level: int
    page: int


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """Lines that belong together; `level` is a heading's, else 0."""

    text: str
    page: int
    level: int


def assemble(
    pages: Sequence[Sequence[Line]], bookmarks: Sequence[Bookmark]
) -> tuple[str, list[int], dict[tuple[int, int], int]]:
    """The text, the offset at which each page begins, and the spans of headings with their levels.

    A paragraph that goes on over a page break stays one; bookmarks whose title no line repeats are ignored.
    """
    paragraphs = list(_paragraphs(_without_heads(pages), bookmarks))
    parts: list[str] = []
    first_on_page: dict[int, int] = {}
    headings: dict[tuple[int, int], int] = {}
    length = 0
    for index, paragraph in enumerate(paragraphs):
        glue = _glue(paragraphs[index - 1], paragraph) if index else ""
        start = length + len(glue)
        length = start + len(paragraph.text)
        parts += glue, paragraph.text
        first_on_page.setdefault(paragraph.page, start)
        if paragraph.level:
            headings[start, length] = paragraph.level
    return "".join(parts), _page_starts(first_on_page, len(pages), length), headings


def _without_heads(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    kept = without_running_heads([[line.text for line in page] for page in pages])
    return [[page[index] for index in indices] for page, indices in zip(pages, kept, strict=True)]


def _page_starts(first_on_page: dict[int, int], pages: int, length: int) -> list[int]:
    """An empty page begins where the next one does."""
    starts = [length] * pages
    following = length
    for page in reversed(range(pages)):
        following = first_on_page.get(page, following)
        starts[page] = following
    return starts


def _glue(before: _Paragraph, after: _Paragraph) -> str:
    if before.level or after.level:
        return "\n\n"
    listed = LIST_ITEM.match(before.text) and LIST_ITEM.match(after.text)
    page_broke_it = before.page != after.page and not _SENTENCE_END.search(before.text) and after.text[:1].islower()
    return "\n" if listed or page_broke_it else "\n\n"


def _paragraphs(pages: Sequence[Sequence[Line]], bookmarks: Sequence[Bookmark]) -> Iterator[_Paragraph]:
    for number, page in enumerate(pages):
        headings = _headings_on(page, [bookmark for bookmark in bookmarks if bookmark.page == number])
        borders = {0, len(page), *_wide_gaps(page)}
        for start, (end, _) in headings.items():
            borders = {border for border in borders if not start < border < end} | {start, end}
        ordered = sorted(borders)
        for start, end in pairwise(ordered):
            text = "\n".join(line.text for line in page[start:end])
            yield _Paragraph(text, number, headings[start][1] if start in headings else 0)


def _headings_on(page: Sequence[Line], bookmarks: Sequence[Bookmark]) -> dict[int, tuple[int, int]]:
    """First line → (line after the last, level), in the outline's order."""
    found: dict[int, tuple[int, int]] = {}
    after = 0
    for bookmark in bookmarks:
        span = _find_title(page, bookmark.title, after)
        if span is not None:
            after = span[1]
            found[span[0]] = (span[1], bookmark.level)
    return found


def _find_title(page: Sequence[Line], title: str, after: int) -> tuple[int, int] | None:
    wanted = _bare(title)
    for start in range(after, len(page)):
        for end in range(start + 1, min(start + _LONGEST_TITLE, len(page)) + 1):
            if wanted and _bare(" ".join(line.text for line in page[start:end])) == wanted:
                return start, end
    return None


def _bare(title: str) -> str:
    """A title without its number: outlines and pages often differ in it."""
    words = " ".join(title.split()).casefold()
    return _NUMBERING.sub("", words.upper()).casefold() or words


def _wide_gaps(page: Sequence[Line]) -> set[int]:
    """Lines before which there is more space than between their neighbours, or that begin a new column."""
    gaps = [above.y - below.y for above, below in pairwise(page)]
    return {index + 1 for index, gap in enumerate(gaps) if gap < 0 or gap > _WIDER_GAP * _least_near(gaps, index)}


def _least_near(gaps: Sequence[float], index: int) -> float:
    near = [gap for gap in (*gaps[max(0, index - 1) : index], *gaps[index + 1 : index + 2]) if gap > 0]
    return min(near, default=float("inf"))
