"""What a printer repeats on every page and nobody wrote: running heads and page numbers."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

_EDGE_LINES = 2  # how far from the top and the bottom of a page they are looked for
_FEWEST_PAGES = 3  # on fewer, repetition proves nothing
_LONGEST = 500  # characters of a line whose numbers are looked at
_NUMBER = re.compile(r"\d+")
_PAGE_LABEL = re.compile(r"(?:page|seite)\s+\d+(?:\s*(?:of|von|/)\s*\d+)?", re.IGNORECASE)

_Key: TypeAlias = tuple[str, int | None]


def without_running_heads(pages: Sequence[Sequence[str]]) -> list[list[int]]:
    """The indices of the lines to keep, page by page.

    Dropped are lines at a page's edge that say the page's number on most pages, and repetitions of a line
    that most pages share: its first appearance stays, since it may be the document's title.
    """
    repeated = _repeated(pages)
    seen: set[str] = set()
    return [
        [index for index in range(len(page)) if _stays(page, index, number, repeated, seen)]
        for number, page in enumerate(pages)
    ]


def _repeated(pages: Sequence[Sequence[str]]) -> set[_Key]:
    counts: Counter[_Key] = Counter()
    for number, page in enumerate(pages):
        counts.update({key for index in _edges(page) for key in _keys(page[index], number)})
    most = max(len(pages) // 2 + 1, _FEWEST_PAGES)
    return {key for key, count in counts.items() if count >= most}


def _edges(page: Sequence[str]) -> set[int]:
    return {*range(len(page))[:_EDGE_LINES], *range(len(page))[-_EDGE_LINES:]}


def _keys(line: str, page: int) -> Iterator[_Key]:
    """What would be the same on other pages: the line, or the line around a number that counts the pages."""
    yield line, None
    for number in _NUMBER.finditer(line) if len(line) <= _LONGEST else ():
        if len(number[0]) <= 5:
            yield f"{line[: number.start()]}#{line[number.end() :]}", int(number[0]) - page


def _stays(page: Sequence[str], index: int, number: int, repeated: set[_Key], seen: set[str]) -> bool:
    line = page[index]
    if index not in _edges(page):
        return True
    if _PAGE_LABEL.fullmatch(line):
        return False
    found = [key for key in _keys(line, number) if key in repeated]
    first = line not in seen and all(offset is None for _, offset in found)
    seen.add(line)
    return first or not found
