"""Plain text: stored as it is, never read as Markdown."""

import re
from collections.abc import Iterator, Mapping

from ingest.domain import Block, BlockKind
from ingest.parsing.encoding import decode
from ingest.parsing.parsed import Parsed

LONGEST_HEADING = 80  # characters
_COLUMNS = re.compile(r"\S(?: {2,}|\t+)\S")
LIST_ITEM = re.compile(r"\s*(?:[-*+•–]|\d{1,3}[.)])\s+\S")
_PARAGRAPH_SIGN = re.compile(r"§+\s*\d+")
_UNDERLINES = {"=": 1, "-": 2}
_LEAST_HEADING_LETTERS = 3
_SENTENCE_END = (".", "!", "?", ",", ";")


def parse_plain(content: bytes) -> Parsed:
    """The decoded file as it is; paragraphs by blank lines, headings where capitals or underlines say so."""
    text = decode(content)
    headings = _find_headings(text)
    blocks = tuple(plain_blocks(text, headings))
    titles = (text[start:end] for (start, end), level in headings.items() if level == 1)
    return Parsed(text=text, blocks=blocks, title=next(titles, "").split("\n")[0])


def plain_blocks(text: str, headings: Mapping[tuple[int, int], int]) -> Iterator[Block]:
    """Blocks between blank lines; `headings` maps the spans of heading lines to their levels."""
    starts = {start: (end, level) for (start, end), level in headings.items()}
    run: list[tuple[int, int]] = []
    covered = 0
    for start, end in _lines(text):
        if start < covered:
            continue
        if start in starts:
            yield from _block(text, run)
            run = []
            covered, level = starts[start]
            yield Block(kind="heading", start=start, end=covered, level=level)
        elif start == end:
            yield from _block(text, run)
            run = []
        else:
            run.append((start, end))
    yield from _block(text, run)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the lines without their trailing space; a blank line's span is empty."""
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line.rstrip())
        start += len(line) + 1


def _block(text: str, run: list[tuple[int, int]]) -> Iterator[Block]:
    if run:
        yield Block(kind=_kind([text[start:end] for start, end in run]), start=run[0][0], end=run[-1][1])


def _kind(lines: list[str]) -> BlockKind:
    if len(lines) > 1 and sum(bool(_COLUMNS.search(line)) for line in lines) > 0.6 * len(lines):
        return "table"
    if LIST_ITEM.match(lines[0]) and any(LIST_ITEM.match(line) for line in lines[1:]):
        return "list"
    return "paragraph"


def _find_headings(text: str) -> dict[tuple[int, int], int]:
    lines = list(_lines(text))
    found: dict[tuple[int, int], int] = {}
    blank_before = True
    for index, (start, end) in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else (end, end)
        if blank_before and end > start:
            _note_heading(text, (start, end), following, found)
        blank_before = start == end
    return found


def _note_heading(
    text: str, line: tuple[int, int], following: tuple[int, int], found: dict[tuple[int, int], int]
) -> None:
    words, after = text[slice(*line)].strip(), text[slice(*following)].strip()
    if not words or len(words) > LONGEST_HEADING or _COLUMNS.search(words):
        return
    underline = after[:1] if after and set(after) == {after[:1]} else ""
    if underline in _UNDERLINES and abs(len(after) - len(words)) <= 3 < len(after):
        found[line[0], following[1]] = _UNDERLINES[underline]
    elif (_is_shouted(words) and not _is_shouted(after)) or (after and _is_clause(words)):
        found[line] = 2 if found or line[0] > 0 else 1


def _is_clause(words: str) -> bool:
    return bool(_PARAGRAPH_SIGN.match(words)) and not words.endswith(_SENTENCE_END)


def _is_shouted(words: str) -> bool:
    letters = [letter for letter in words if letter.isalpha()]
    return (
        len(letters) >= _LEAST_HEADING_LETTERS
        and all(map(str.isupper, letters))
        and not words.endswith(_SENTENCE_END)
        and not _COLUMNS.search(words)
    )
