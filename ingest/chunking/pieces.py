"""What chunks are made of: sentences, list items, whole tables and code blocks, with the headings above them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.chunking.contexts import Place
from ingest.chunking.leads import Item, item_leads, lead_in, table_header
from ingest.chunking.sentences import sentence_starts
from ingest.domain import Block, Document
from ingest.languages import detect_language
from ingest.parsing.markdown import heading_text, without_underline

# How good it is to begin a chunk here, as the share of a chunk one may leave empty for it.
AFTER_COLON = -0.15
WITHIN_PARAGRAPH = 0.0
AT_LINE = 0.05
AT_PARAGRAPH = 0.15
AT_SUBSECTION = 0.3
AT_SECTION = 0.4

_TOP_LEVELS = 2
_LONGEST_HEADING = 300  # characters, in paths
_LONGEST_ANNOUNCEMENT = 1000  # characters before a block that are read for what announces it
_HEADER_LINES = 2  # a table's header and the line under it: they stay with the first row
_PLAIN_TYPES = frozenset({"text/plain", "application/pdf"})
_NEWLINE = re.compile("\n")
_ITEM = re.compile(r"^[ \t]*(?:[-*+•–]|\d{1,9}[.)])[ \t]+", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A slice that begins with the headings over it, up to `content`; chunks may begin at any piece.

    `lead` is what a chunk that begins here goes on from; `header` that of a table, for those of its parts without it.
    """

    start: int
    content: int
    end: int
    border: float
    section: int
    path: tuple[str, ...]
    is_sentence: bool
    has_lines: bool
    lead: str = ""
    header: str = ""
    tokens: int = 0

    @property
    def place(self) -> Place:
        """What is said before a chunk that begins here: the headings over it, and what it goes on from."""
        return self.path, self.lead

    @property
    def lead_of_parts(self) -> str:
        """The lead of its parts but the first."""
        return "\n".join(filter(None, (self.lead, self.header)))

    def sized(self, tokens: int) -> "Piece":
        """The same piece with its tokens counted."""
        return replace(self, tokens=tokens)


@dataclass(slots=True)
class _Section:
    """Where the walk through the blocks stands: headings not yet given to a piece, and those in force."""

    number: int = 0
    pending: int | None = None
    border: float = AT_PARAGRAPH
    headings: tuple[tuple[int, str], ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.headings)

    def enter(self, block: Block, title: str) -> None:
        self.number += 1
        self.headings = (*((level, text) for level, text in self.headings if level < block.level), (block.level, title))
        self.wait(block.start, AT_SECTION if block.level <= _TOP_LEVELS else AT_SUBSECTION)

    def wait(self, start: int, border: float) -> None:
        """Keep what begins here for the next piece."""
        self.pending = start if self.pending is None else self.pending
        self.border = max(self.border, border)

    def piece(
        self,
        start: int,
        end: int,
        border: float,
        *,
        is_sentence: bool = False,
        has_lines: bool = False,
        lead: str = "",
        header: str = "",
    ) -> Piece:
        first = start if self.pending is None else self.pending
        made = Piece(
            start=first,
            content=start,
            end=end,
            border=max(border, self.border) if self.pending is not None else border,
            section=self.number,
            path=self.path,
            is_sentence=is_sentence and first == start,
            has_lines=has_lines,
            lead=lead,
            header=header,
        )
        self.pending, self.border = None, AT_PARAGRAPH
        return made


def pieces_of(document: Document) -> list[Piece]:
    """The pieces of a document in order, without the whitespace between them; all other characters are in one."""
    text, language = document.text, detect_language(document.text)
    section, covered = _Section(), 0
    pieces: list[Piece] = []
    for block in (*document.blocks, None):
        gap = _trimmed(text, covered, block.start if block else len(text))
        if gap:
            # Front matter, rules, link targets: no content of their own, but nothing may be lost.
            section.wait(gap[0], AT_PARAGRAPH)
            covered = gap[1]
        if block is None:
            break
        covered = block.end
        if block.kind == "heading":
            section.enter(block, _heading(document, block))
        else:
            pieces += _block_pieces(text, block, section, language)
    if section.pending is not None:
        pieces.append(section.piece(section.pending, covered, AT_PARAGRAPH))
    return pieces


def _heading(document: Document, block: Block) -> str:
    source = document.text[block.start : block.end]
    if block.name:
        text = block.name
    elif document.content_type in _PLAIN_TYPES:
        text = " ".join(without_underline(source).split())
    else:
        text = heading_text(source, generated=document.content_type != "text/markdown")
    return text[:_LONGEST_HEADING]


def _block_pieces(text: str, block: Block, section: _Section, language: str) -> Iterator[Piece]:
    lead = "" if block.kind == "paragraph" or section.pending is not None else _announcement(text, block)
    border = AFTER_COLON if lead else AT_PARAGRAPH
    if block.kind in {"table", "code"}:
        header = table_header(text[block.start : block.end]) if block.kind == "table" else ""
        yield section.piece(block.start, block.end, border, has_lines=True, lead=lead, header=header)
        return
    items = _items(text, block) if block.kind == "list" else [(block.start, block.start, block.end)]
    for (start, marked, end), item_lead in zip(items, _leads(text, block, items, lead), strict=True):
        for sentence in _sentences(text, start, marked, end, language):
            yield section.piece(*sentence, border, is_sentence=True, lead=item_lead)
            border = WITHIN_PARAGRAPH
        border = AT_LINE


def _announcement(text: str, block: Block) -> str:
    return lead_in(text[max(0, block.start - _LONGEST_ANNOUNCEMENT) : block.start].rstrip())


def _leads(text: str, block: Block, items: Sequence[Item], lead: str) -> Iterable[str]:
    return item_leads(text, items, lead) if block.kind == "list" else [lead]


def _items(text: str, block: Block) -> list[Item]:
    """The items of a list."""
    marks = [(found.start(), found.end()) for found in _ITEM.finditer(text, block.start, block.end)]
    if not marks or marks[0][0] > block.start:
        marks.insert(0, (block.start, block.start))
    ends = [start for start, _ in marks[1:]] + [block.end]
    return [(start, marked, end) for (start, marked), end in zip(marks, ends, strict=True)]


def _sentences(text: str, start: int, marked: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Sentences as spans. The marker of a list item is no sentence, though it may look like one."""
    starts = [start, *(marked + each for each in sentence_starts(text[marked:end], language))]
    for first, after in zip(starts, [*starts[1:], end], strict=True):
        span = _trimmed(text, first, after)
        if span:
            yield span


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    part = text[start:end]
    bare = part.strip()
    if not bare:
        return None
    first = start + len(part) - len(part.lstrip())
    return first, first + len(bare)


def divide(text: str, piece: Piece, parts: int) -> list[Piece]:
    """A piece in finer ones: its lines, else `parts` of about equal length; the first keeps the headings.

    Only where the headings are at least as long as what they head do they become a piece of their own.
    """
    if piece.has_lines and "\n" in text[piece.content : piece.end]:
        return _pieces_at(text, piece, _line_starts(text, piece))
    if piece.content - piece.start >= piece.end - piece.content:
        return _pieces_at(text, replace(piece, content=piece.start), [piece.content])
    return _pieces_at(text, piece, _even_cuts(text, piece.content, piece.end, parts))


def _pieces_at(text: str, piece: Piece, cuts: list[int]) -> list[Piece]:
    border = AT_LINE if piece.has_lines else WITHIN_PARAGRAPH
    made: list[Piece] = []
    for start, end in zip([piece.start, *cuts], [*cuts, piece.end], strict=True):
        span = _trimmed(text, start, end)
        if span is None:
            continue
        first = not made
        made.append(
            replace(
                piece,
                start=span[0],
                content=piece.content if first else span[0],
                end=span[1],
                border=piece.border if first else border,
                is_sentence=False,
                has_lines=False,
                lead=piece.lead if first else piece.lead_of_parts,
                header=piece.header if first else "",
            )
        )
    return made


def _line_starts(text: str, piece: Piece) -> list[int]:
    starts = [found.end() for found in _NEWLINE.finditer(text, piece.content, piece.end)]
    return starts[_HEADER_LINES:] if piece.header else starts


def _even_cuts(text: str, start: int, end: int, parts: int) -> list[int]:
    """Borders of words, or of lines where they are near, that make about equal parts; else of characters."""
    length = max(1, (end - start) // parts)
    cuts: list[int] = []
    last = start
    while end - last > length * 1.5 and last + length < end:
        window = text[last + length // 2 : last + length]
        line, word = window.rfind("\n"), max(window.rfind(" "), window.rfind("\t"), window.rfind("\n"))
        near = line if line >= len(window) // 2 else word
        last = last + length // 2 + near + 1 if near >= 0 else last + length
        cuts.append(last)
    return cuts
