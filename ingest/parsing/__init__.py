"""From a file's bytes to a `Document`: stored text, blocks, pages, title."""

from collections.abc import Callable
from pathlib import Path

from ingest.domain import Document
from ingest.parsing.docx import parse_docx
from ingest.parsing.encoding import storable
from ingest.parsing.html import parse_html
from ingest.parsing.markdown import parse_markdown
from ingest.parsing.parsed import Parsed
from ingest.parsing.pdf import parse_pdf
from ingest.parsing.plain import parse_plain
from retrieval.errors import UnreadableDocument

__all__ = ["SUPPORTED_EXTENSIONS", "content_type_of", "extension_of", "parse_file"]

_Parser = Callable[[bytes], Parsed]
_MARKDOWN: tuple[str, _Parser] = ("text/markdown", parse_markdown)
_PLAIN: tuple[str, _Parser] = ("text/plain", parse_plain)
_HTML: tuple[str, _Parser] = ("text/html", parse_html)
_PDF: tuple[str, _Parser] = ("application/pdf", parse_pdf)
_DOCX: tuple[str, _Parser] = ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", parse_docx)
_FORMATS = {
    **dict.fromkeys((".md", ".markdown"), _MARKDOWN),
    **dict.fromkeys((".txt", ".text"), _PLAIN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _HTML),
    ".pdf": _PDF,
    ".docx": _DOCX,
}
SUPPORTED_EXTENSIONS = frozenset(_FORMATS)
_LONGEST_TITLE = 300  # characters


def content_type_of(name: str) -> str | None:
    """What a file of this name is on the wire; None: it cannot be read."""
    found = _FORMATS.get(Path(name).suffix.lower())
    return found[0] if found else None


def extension_of(content_type: str) -> str | None:
    """The extension under which content of this type is read, parameters such as a charset aside; None: it cannot."""
    wanted = content_type.partition(";")[0].strip().lower()
    return next((extension for extension, (name, _) in _FORMATS.items() if name == wanted), None)


def parse_file(path: Path, content: bytes, title: str | None) -> Document:
    """The document in a file; its extension says how to read it, its own title is used where `title` is None.

    Raises `UnreadableDocument`, and nothing else, for whatever `content` may be. Its reasons are
    `unsupported_format`, `empty`, `encrypted`, `corrupt`, `not_a_pdf`, `not_a_docx`, `binary`, `no_text`
    and `too_complex`.
    """
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UnreadableDocument("unsupported_format", f"cannot read {path.suffix or 'a file without extension'}")
    content_type, parse = found
    parsed = _guarded(parse, content)
    if not parsed.text.strip():
        raise UnreadableDocument("empty", "the document contains no text")
    return Document(
        title=_one_line(title or "") or _one_line(parsed.title) or _one_line(path.stem),
        text=parsed.text,
        blocks=parsed.blocks,
        page_starts=parsed.page_starts,
        content_type=content_type,
    )


def _guarded(parse: _Parser, content: bytes) -> Parsed:
    if not content.strip():
        raise UnreadableDocument("empty", "the file is empty")
    try:
        return parse(content)
    except UnreadableDocument:
        raise
    except (RecursionError, MemoryError) as error:
        raise UnreadableDocument("too_complex", "the document is nested too deeply or too large") from error
    except Exception as error:  # third-party parsers meet hostile files; what they raise is listed nowhere
        raise UnreadableDocument("corrupt", f"the document is damaged ({type(error).__name__})") from error


def _one_line(title: str) -> str:
    return " ".join(storable(title).split())[:_LONGEST_TITLE]
