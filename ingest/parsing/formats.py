"""Which formats can be read: what their files are called, what they are called on the wire, who reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from re import Pattern
from typing import TypeAlias

from ingest.parsing.books import parse_epub
from ingest.parsing.delimited import parse_csv, parse_tsv
from ingest.parsing.docx import parse_docx
from ingest.parsing.html import parse_html
from ingest.parsing.json_files import parse_json, parse_jsonl
from ingest.parsing.mail import parse_mail
from ingest.parsing.markdown import parse_markdown
from ingest.parsing.opendocument import parse_odp, parse_ods, parse_odt
from ingest.parsing.parsed import Parsed
from ingest.parsing.pdf import parse_pdf
from ingest.parsing.pictures import parse_picture
from ingest.parsing.plain import parse_plain
from ingest.parsing.rtf import parse_rtf
from ingest.parsing.slides import parse_pptx
from ingest.parsing.source_code import parse_code
from ingest.parsing.spreadsheets import parse_xls, parse_xlsx
from ingest.parsing.stanzas import NOTHING, SECTION, STATEMENT, TOP_KEY, parse_stanzas
from ingest.parsing.xml_files import parse_xml
from retrieval.errors import UnreadableDocument

Parser: TypeAlias = Callable[[bytes], Parsed]
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"


@dataclass(frozen=True, slots=True)
class Format:
    """`extensions`: the first is the usual one. `also`: other content types it is sent under."""

    content_type: str
    extensions: tuple[str, ...]
    parse: Parser
    also: tuple[str, ...] = ()


def _code(content_type: str, *extensions: str) -> Format:
    return Format(content_type, extensions, partial(parse_code, extension=extensions[0]))


def _stanzas(
    content_type: str, *extensions: str, heading: Pattern[str] = NOTHING, also: tuple[str, ...] = ()
) -> Format:
    return Format(content_type, extensions, partial(parse_stanzas, heading=heading), also)


def _read_attachment(name: str, content: bytes) -> Parsed:
    """Pictures in a mail are mostly logos: they are not read."""
    found = BY_EXTENSION.get(extension(name))
    if found is None or found.content_type.startswith("image/"):
        raise UnreadableDocument("unsupported_format", "not read in a message")
    return parse_guarded(found.parse, content)


FORMATS = (
    Format("text/markdown", (".md", ".markdown"), parse_markdown, ("text/x-markdown",)),
    Format("text/plain", (".txt", ".text"), parse_plain),
    Format("text/html", (".html", ".htm", ".xhtml"), parse_html, ("application/xhtml+xml",)),
    Format("application/pdf", (".pdf",), parse_pdf, ("application/x-pdf",)),
    Format(f"{_OFFICE}.wordprocessingml.document", (".docx",), parse_docx),
    Format(f"{_OFFICE}.presentationml.presentation", (".pptx",), parse_pptx),
    Format(f"{_OFFICE}.spreadsheetml.sheet", (".xlsx",), parse_xlsx),
    Format("application/vnd.ms-excel", (".xls",), parse_xls),
    Format(f"{_OPEN}.text", (".odt",), parse_odt),
    Format(f"{_OPEN}.spreadsheet", (".ods",), parse_ods),
    Format(f"{_OPEN}.presentation", (".odp",), parse_odp),
    Format("application/epub+zip", (".epub",), parse_epub),
    Format("application/rtf", (".rtf",), parse_rtf, ("text/rtf",)),
    Format("message/rfc822", (".eml",), partial(parse_mail, read_attachment=_read_attachment)),
    Format("text/csv", (".csv",), parse_csv, ("application/csv",)),
    Format("text/tab-separated-values", (".tsv", ".tab"), parse_tsv),
    Format("application/json", (".json",), parse_json, ("text/json",)),
    Format(
        "application/x-ndjson", (".jsonl", ".ndjson"), parse_jsonl, ("application/jsonl", "application/x-jsonlines")
    ),
    Format("application/xml", (".xml",), parse_xml, ("text/xml",)),
    Format("image/png", (".png",), parse_picture),
    Format("image/jpeg", (".jpg", ".jpeg"), parse_picture, ("image/jpg",)),
    Format("image/tiff", (".tif", ".tiff"), parse_picture),
    Format("image/webp", (".webp",), parse_picture),
    Format("image/bmp", (".bmp",), parse_picture, ("image/x-ms-bmp",)),
    _code("text/x-python", ".py", ".pyi"),
    _code("text/javascript", ".js", ".mjs", ".cjs", ".jsx"),
    _code("text/x-typescript", ".ts", ".mts", ".cts"),
    _code("text/x-tsx", ".tsx"),
    _code("text/x-java", ".java"),
    _code("text/x-go", ".go"),
    _code("text/x-rust", ".rs"),
    _code("text/x-c", ".c", ".h"),
    _code("text/x-c++", ".cpp", ".cc", ".cxx", ".hpp", ".hh"),
    _code("text/x-sh", ".sh", ".bash"),
    _stanzas("application/sql", ".sql", heading=STATEMENT, also=("text/x-sql",)),
    _stanzas("application/yaml", ".yaml", ".yml", heading=TOP_KEY, also=("application/x-yaml", "text/yaml")),
    _stanzas("application/toml", ".toml", heading=SECTION),
    _stanzas("text/x-ini", ".ini", ".cfg", heading=SECTION),
    _stanzas("text/x-ruby", ".rb"),
    _stanzas("text/x-php", ".php"),
    _stanzas("text/x-csharp", ".cs"),
    _stanzas("text/x-kotlin", ".kt"),
    _stanzas("text/x-swift", ".swift"),
    _stanzas("text/x-scala", ".scala"),
    _stanzas("text/x-lua", ".lua"),
)
BY_EXTENSION = {extension: one for one in FORMATS for extension in one.extensions}
_BY_TYPE = {name: one for one in FORMATS for name in (one.content_type, *one.also)}


def extension(name: str) -> str:
    """A file name's extension in lower case, with its dot, or ""."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()


def content_type_of(name: str) -> str | None:
    """What a file of this name is on the wire; None: it cannot be read."""
    found = BY_EXTENSION.get(extension(name))
    return found.content_type if found else None


def extension_of(content_type: str) -> str | None:
    """The extension under which content of this type is read, parameters such as a charset aside; None: it cannot."""
    found = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    return found.extensions[0] if found else None


def parse_guarded(parse: Parser, content: bytes) -> Parsed:
    """What a parser makes of `content`. Raises `UnreadableDocument` and nothing else."""
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
