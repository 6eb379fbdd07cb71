"""From a file's bytes to a `Document`: stored text, blocks, pages, title."""

from pathlib import Path

from ingest.domain import Document
from ingest.parsing.encoding import storable
from ingest.parsing.formats import BY_EXTENSION, content_type_of, extension_of, parse_guarded
from retrieval.errors import UnreadableDocument

__all__ = ["SUPPORTED_EXTENSIONS", "content_type_of", "extension_of", "parse_file"]

SUPPORTED_EXTENSIONS = frozenset(BY_EXTENSION)
_LONGEST_TITLE = 300  # characters


def parse_file(path: Path, content: bytes, title: str | None) -> Document:
    """The document in a file; its extension says how to read it, its own title is used where `title` is None.

    Raises `UnreadableDocument`, and nothing else, for whatever `content` may be. Its reasons are
    `unsupported_format`; `not_a_<extension>` and `not_an_image` where the content is not what the extension says;
    `empty`, `no_text`, `binary`, `corrupt`, `encrypted`; `too_complex`, `too_large`, `too_slow`;
    `unsafe_archive`, `xml_entities`; and `ocr_unavailable`.
    """
    found = BY_EXTENSION.get(path.suffix.lower())
    if found is None:
        raise UnreadableDocument("unsupported_format", f"cannot read {path.suffix or 'a file without extension'}")
    parsed = parse_guarded(found.parse, content)
    if not parsed.text.strip():
        raise UnreadableDocument("empty", "the document contains no text")
    return Document(
        title=_one_line(title or "") or _one_line(parsed.title) or _one_line(path.stem),
        text=parsed.text,
        blocks=parsed.blocks,
        page_starts=parsed.page_starts,
        content_type=found.content_type,
    )


def _one_line(title: str) -> str:
    return " ".join(storable(title).split())[:_LONGEST_TITLE]
