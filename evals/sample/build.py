"""Build the sample corpus: copy its text files and render its PDF and Word files.

Every folder beside this module that holds a ``manifest.yaml`` is a tenant. The same
sources and the same library versions give the same bytes, whenever the build is run.
"""

import argparse
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from docx import Document
from docx.document import Document as WordDocument
from docx.text.paragraph import Paragraph as WordParagraph
from fpdf import FPDF
from fpdf.outline import OutlineSection
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

HERE = Path(__file__).resolve().parent
BUILT_AT = datetime(2025, 1, 1, tzinfo=UTC)
PRODUCER = "Pincite sample corpus"
PDF_HEADING_SIZES = (18, 14, 12, 11)
LATIN1_REPLACEMENTS = str.maketrans(
    {"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "…": "...", "€": "EUR"}
)


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of styled text."""

    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ListItem:
    """The text of one list item; ``number`` is None in a bulleted list."""

    depth: int
    number: int | None
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Table:
    """A table; the first row holds the column headings."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Code:
    """A block of preformatted lines."""

    text: str


Block = Heading | Paragraph | ListItem | Table | Code


class UnsupportedMarkdownError(ValueError):
    """A source uses a Markdown construct that the renderers do not handle."""


def parse_markdown(source: str) -> list[Block]:
    """Return the blocks of a Markdown text in reading order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    return [block for node in SyntaxTreeNode(tokens).children for block in _blocks(node)]


def _blocks(node: SyntaxTreeNode) -> Iterator[Block]:
    if node.type == "heading":
        yield Heading(int(node.tag[1:]), _plain(_spans(node)))
    elif node.type == "paragraph":
        yield Paragraph(_spans(node))
    elif node.type in ("bullet_list", "ordered_list"):
        yield from _list_items(node, depth=0)
    elif node.type == "table":
        yield Table(tuple(_row(row) for part in node.children for row in part.children))
    elif node.type in ("fence", "code_block"):
        yield Code(node.content.rstrip("\n"))
    elif node.type == "blockquote":
        for child in node.children:
            yield from _blocks(child)
    elif node.type != "hr":
        raise UnsupportedMarkdownError(f"cannot render Markdown block {node.type!r}")


def _list_items(node: SyntaxTreeNode, depth: int) -> Iterator[Block]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        for child in item.children:
            if child.type == "paragraph":
                yield ListItem(depth, number if node.type == "ordered_list" else None, _spans(child))
            elif child.type in ("bullet_list", "ordered_list"):
                yield from _list_items(child, depth + 1)
            else:
                yield from _blocks(child)


def _row(row: SyntaxTreeNode) -> tuple[str, ...]:
    return tuple(_plain(_spans(cell)) for cell in row.children)


def _spans(node: SyntaxTreeNode) -> tuple[Span, ...]:
    """Return the styled text of a node whose only child is inline content."""
    spans: list[Span] = []
    style = Span("")
    for inline in node.children:
        for token in inline.to_tokens()[0].children or []:
            style = _restyled(style, token)
            if token.type in ("softbreak", "hardbreak"):
                spans.append(replace(style, text=" "))
            elif token.content:
                spans.append(replace(style, text=token.content, code=token.type == "code_inline"))
    return tuple(spans)


def _restyled(style: Span, token: Token) -> Span:
    if token.tag == "strong":
        return replace(style, bold=token.nesting > 0)
    if token.tag == "em":
        return replace(style, italic=token.nesting > 0)
    return style


def _plain(spans: Sequence[Span]) -> str:
    return "".join(span.text for span in spans)


class _NumberedPdf(FPDF):
    """A PDF whose every page ends with its number and the number of pages."""

    def footer(self) -> None:
        """Write ``Page N of M`` at the foot of the page."""
        self.set_y(-15)
        self.set_font("Helvetica", "I", 8)
        self.cell(0, 10, f"Page {self.page_no()} of {{nb}}", align="C")


def render_pdf(source: str) -> bytes:
    """Render Markdown as a PDF with outline bookmarks and numbered pages."""
    blocks = parse_markdown(source)
    pdf = _NumberedPdf()
    pdf.set_creation_date(BUILT_AT)
    pdf.set_producer(PRODUCER)
    pdf.set_title(_latin1(_title(blocks)))
    pdf.set_margin(22)
    pdf.set_auto_page_break(True, margin=22)
    pdf.add_page()
    for block in blocks:
        _draw(pdf, block)
    return bytes(pdf.output())


def _draw(pdf: FPDF, block: Block) -> None:
    match block:
        case Heading():
            _draw_heading(pdf, block)
        case Paragraph(spans):
            _write_spans(pdf, spans)
            pdf.ln(8)
        case ListItem():
            _draw_list_item(pdf, block)
        case Table(rows):
            _draw_table(pdf, rows)
        case Code(text):
            pdf.set_font("Courier", size=9)
            pdf.multi_cell(0, 4.5, _latin1(text), align="L", new_x="LMARGIN", new_y="NEXT")
            pdf.ln(4)


def _draw_heading(pdf: FPDF, heading: Heading) -> None:
    size = PDF_HEADING_SIZES[min(heading.level, len(PDF_HEADING_SIZES)) - 1]
    if pdf.will_page_break(30):
        pdf.add_page()
    pdf.ln(3)
    pdf.start_section(_latin1(heading.text), level=_outline_level(pdf, heading.level))
    pdf.set_font("Helvetica", "B", size)
    pdf.multi_cell(0, size * 0.5, _latin1(heading.text), align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _outline_level(pdf: FPDF, heading_level: int) -> int:
    """Return the bookmark level, at most one below the bookmark before it."""
    outline: list[OutlineSection] = pdf._outline
    return min(heading_level - 1, outline[-1].level + 1 if outline else 0)


def _draw_list_item(pdf: FPDF, item: ListItem) -> None:
    left = pdf.l_margin
    indent = left + 4 + 6 * item.depth
    pdf.set_x(indent)
    pdf.set_font("Helvetica", size=10.5)
    pdf.write(5, "- " if item.number is None else f"{item.number}. ")
    pdf.set_left_margin(indent + 6)
    _write_spans(pdf, item.spans)
    pdf.set_left_margin(left)
    pdf.ln(6.5)


def _write_spans(pdf: FPDF, spans: Sequence[Span]) -> None:
    for span in spans:
        style = ("B" if span.bold else "") + ("I" if span.italic else "")
        pdf.set_font("Courier" if span.code else "Helvetica", style, 10.5)
        pdf.write(5, _latin1(span.text))


def _draw_table(pdf: FPDF, rows: Sequence[Sequence[str]]) -> None:
    pdf.set_font("Helvetica", size=9)
    widths = tuple(min(max(len(cell) for cell in column), 40) + 4 for column in zip(*rows, strict=True))
    with pdf.table(col_widths=widths, line_height=5, text_align="LEFT", padding=1) as table:
        for cells in rows:
            row = table.row()
            for cell in cells:
                row.cell(_latin1(cell))
    pdf.ln(5)


def _latin1(text: str) -> str:
    """Return the text in the characters of the PDF core fonts, or raise UnicodeEncodeError."""
    safe = text.translate(LATIN1_REPLACEMENTS)
    safe.encode("latin-1")
    return safe


def render_docx(source: str) -> bytes:
    """Render Markdown as a Word document with real heading and list styles."""
    blocks = parse_markdown(source)
    document = Document()
    properties = document.core_properties
    properties.title, properties.author, properties.comments = _title(blocks), PRODUCER, ""
    properties.last_modified_by, properties.revision = PRODUCER, 1
    properties.created = properties.modified = BUILT_AT.replace(tzinfo=None)
    for before, block in zip([None, *blocks], blocks, strict=False):
        _append(document, before, block)
    buffer = BytesIO()
    document.save(buffer)
    return _with_fixed_dates(buffer.getvalue())


def _append(document: WordDocument, before: Block | None, block: Block) -> None:
    match block:
        case Heading(level, text):
            document.add_heading(text, level=min(level, 9))
        case Paragraph(spans):
            _add_runs(document.add_paragraph(), spans)
        case ListItem():
            _append_list_item(document, before, block)
        case Table(rows):
            _append_table(document, rows)
        case Code(text):
            _add_runs(document.add_paragraph(style="No Spacing"), [Span(text, code=True)])


def _append_list_item(document: WordDocument, before: Block | None, item: ListItem) -> None:
    style = "List Bullet" if item.number is None else "List Number"
    suffix = f" {min(item.depth, 2) + 1}" if item.depth else ""
    paragraph = document.add_paragraph(style=style + suffix)
    continued = isinstance(before, ListItem) and before.number is not None
    if item.number is not None and not continued:
        _restart_numbering(document, style + suffix, item.number)
    if item.number is not None:
        _use_latest_numbering(document, paragraph)
    _add_runs(paragraph, item.spans)


def _restart_numbering(document: WordDocument, style: str, first: int) -> None:
    """Add a numbering to the document that counts like the style's own, from ``first``."""
    numbering = document.part.numbering_part.element
    style_number = document.styles[style].element.pPr.numPr.numId.val
    abstract = numbering.num_having_numId(style_number).abstractNumId.val
    numbering.add_num(abstract).add_lvlOverride(ilvl=0).add_startOverride(first)


def _use_latest_numbering(document: WordDocument, paragraph: WordParagraph) -> None:
    numbering = document.part.numbering_part.element
    properties: Any = paragraph._p.get_or_add_pPr()
    number = properties.get_or_add_numPr()
    number.get_or_add_ilvl().val = 0
    number.get_or_add_numId().val = numbering.num_lst[-1].numId


def _append_table(document: WordDocument, rows: Sequence[Sequence[str]]) -> None:
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    for index, cells in enumerate(rows):
        for cell, text in zip(table.add_row().cells, cells, strict=True):
            cell.paragraphs[0].add_run(text).bold = index == 0
    document.add_paragraph()


def _add_runs(paragraph: WordParagraph, spans: Sequence[Span]) -> None:
    for span in spans:
        run = paragraph.add_run(span.text)
        run.bold, run.italic = span.bold or None, span.italic or None
        if span.code:
            run.font.name = "Courier New"


def _with_fixed_dates(package: bytes) -> bytes:
    """Return the zip package with every entry's time stamp set to the build date."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(package)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, BUILT_AT.timetuple()[:6])
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            new.writestr(entry, old.read(name))
    return buffer.getvalue()


def _title(blocks: Sequence[Block]) -> str:
    return next((block.text for block in blocks if isinstance(block, Heading)), "")


RENDERERS: dict[str, Callable[[str], bytes]] = {".pdf": render_pdf, ".docx": render_docx}


def build_sample_corpus(target: Path) -> list[Path]:
    """Build every tenant into ``target/<tenant>`` and return those folders, sorted by name.

    A file is replaced whole or not at all; files of the target that the corpus does not
    name are left alone.
    """
    tenants = sorted(manifest.parent for manifest in HERE.glob("*/manifest.yaml"))
    return [_build_tenant(tenant, target / tenant.name) for tenant in tenants]


def _build_tenant(tenant: Path, built: Path) -> Path:
    _write_whole(built / "manifest.yaml", (tenant / "manifest.yaml").read_bytes())
    documents, sources = tenant / "documents", tenant / "sources"
    for document in _files(documents):
        _write_whole(built / document.relative_to(documents), document.read_bytes())
    for source in _files(sources):
        name = source.relative_to(sources).with_suffix("")
        if source.suffix == ".md" and name.suffix in RENDERERS:
            _write_whole(built / name, RENDERERS[name.suffix](source.read_text(encoding="utf-8")))
    return built


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main() -> None:
    """Build the corpus into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Build the Pincite sample corpus.")
    parser.add_argument("target", type=Path, help="folder that receives one folder per tenant")
    for folder in build_sample_corpus(parser.parse_args().target):
        print(folder)


if __name__ == "__main__":
    main()
