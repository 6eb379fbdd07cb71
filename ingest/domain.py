"""The nouns of a document's journey, one frozen record per stage.

SourceFile → Document → Chunk → EmbeddedDocument → IngestReport

Offsets are Unicode code points into `Document.text`, half open. Pages count from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from retrieval.domain import Section

BlockKind = Literal["heading", "paragraph", "list", "table", "code"]
Metadata = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to ingest and what its owner says of it. `title` and `language` None: found in the file."""

    path: Path
    uri: str
    title: str | None
    acl: frozenset[str]
    metadata: Metadata
    language: str | None


class Described(Protocol):
    """What a document's owner says of it."""

    @property
    def uri(self) -> str: ...
    @property
    def acl(self) -> frozenset[str]: ...
    @property
    def metadata(self) -> Metadata: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A structural unit of a document's text: `text[start:end]`. `level` is 1-6 for headings, else 0.

    `name`: what a heading is called in heading paths, where that is not what its text says ("" where it is).
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file: its stored text (Markdown, or plain lines), blocks in order without overlap, and pages.

    `page_starts[i]` is the offset at which page i + 1 begins; empty when the format has no pages.
    """

    title: str
    text: str
    blocks: tuple[Block, ...]
    page_starts: tuple[int, ...]
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A citable slice: `text == document.text[char_start:char_end]`.

    `heading_path` is that of its first content; `sections` has the start of each section it reaches over.
    `context` (a line of title and heading path, then the `lead`) goes before `text` when it is embedded and indexed;
    `token_count` measures both together in the embedding model's tokens, special tokens included. `lead` is what a
    text goes on from that begins in the middle: its table's header, its list's lead-in; else "".
    """

    ordinal: int
    heading_path: tuple[str, ...]
    sections: tuple[Section, ...]
    context: str
    lead: str
    text: str
    char_start: int
    char_end: int
    first_page: int | None
    last_page: int | None
    page_starts: tuple[int, ...]
    token_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A document that was not indexed, and why. `reason` is a stable code such as `encrypted`."""

    uri: str
    reason: str
    message: str

    @property
    def is_declared(self) -> bool:
        """Whether it was skipped for what is not installed here, through no fault of the document's."""
        return self.reason == "ocr_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What a run did, as uris. `updated` are re-permissioned or re-described without being embedded again.

    `without_context` counts chunks that no model could be asked about: the next run asks again. `receipt` is the id of
    the one for what was removed.
    """

    indexed: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    failures: tuple[Failure, ...]
    chunks: int
    seconds: float
    without_context: int = 0
    receipt: str | None = None
