"""What every format's parser hands over."""

from dataclasses import dataclass

from ingest.domain import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The stored text, its blocks and pages, and the title the file gives itself ("" where it gives none)."""

    text: str
    blocks: tuple[Block, ...]
    title: str
    page_starts: tuple[int, ...] = ()
