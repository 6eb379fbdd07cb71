"""Text written block by block, for formats that are no text themselves."""

from collections.abc import Iterable

from ingest.domain import Block, BlockKind
from ingest.parsing.encoding import storable
from ingest.parsing.parsed import Parsed
from retrieval.errors import UnreadableDocument

LONGEST_TEXT = 50_000_000  # characters: a small file must not unfold without end
_DEEPEST_HEADING = 6
_BETWEEN = "\n\n"


class Writing:
    """A document in the making: its blocks stand a blank line apart, in the order they are written.

    Raises `UnreadableDocument` (`too_large`) where the text outgrows `LONGEST_TEXT`.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._page_starts: list[int] = []
        self._length = 0

    def heading(self, level: int, text: str) -> None:
        """A heading of level 1 to 6 (deeper ones are 6), on one line."""
        line, level = " ".join(text.split()), min(_DEEPEST_HEADING, level)
        if line:
            self._block("heading", f"{'#' * level} {line}", level)

    def paragraph(self, text: str) -> None:
        """A paragraph; its lines stay."""
        self._block("paragraph", text)

    def lines(self, kind: BlockKind, lines: Iterable[str]) -> None:
        """A block of these lines; none where there are none."""
        self._block(kind, "\n".join(lines))

    def page(self) -> None:
        """What follows is on a new page."""
        self._page_starts.append(self._next_start())

    def include(self, parsed: Parsed, *, under: int = 0) -> None:
        """Another document's text and blocks, its headings `under` levels deeper. Its pages are not kept."""
        start = self._next_start()
        self._append(parsed.text)
        for block in parsed.blocks:
            level = min(_DEEPEST_HEADING, block.level + under) if block.level else 0
            self._blocks.append(
                Block(kind=block.kind, start=start + block.start, end=start + block.end, level=level, name=block.name)
            )

    def parsed(self, title: str) -> Parsed:
        """All that was written. A page without text begins where the next one does."""
        text = "".join(self._parts)
        return Parsed(
            text=text,
            blocks=tuple(self._blocks),
            title=title,
            page_starts=tuple(min(start, len(text)) for start in self._page_starts),
        )

    def _block(self, kind: BlockKind, text: str, level: int = 0) -> None:
        text = storable(text).strip()
        if text:
            start = self._next_start()
            self._append(text)
            self._blocks.append(Block(kind=kind, start=start, end=self._length, level=level))

    def _next_start(self) -> int:
        return self._length + len(_BETWEEN) if self._length else 0

    def _append(self, text: str) -> None:
        if self._length + len(text) > LONGEST_TEXT:
            raise UnreadableDocument("too_large", f"its text is longer than {LONGEST_TEXT} characters")
        if text and self._length:
            self._parts.append(_BETWEEN)
            self._length += len(_BETWEEN)
        self._parts.append(text)
        self._length += len(text)
