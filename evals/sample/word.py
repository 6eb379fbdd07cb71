"""Blocks to a Word document with real heading and list styles."""

import zipfile
from collections.abc import Sequence
from io import BytesIO

from docx import Document
from docx.document import Document as WordDocument
from docx.text.paragraph import Paragraph as WordParagraph

from evals.sample import BUILT_AT, PRODUCER
from evals.sample.markdown import Block, Code, Heading, ListItem, Paragraph, Span, Table, first_heading


def render_docx(blocks: Sequence[Block]) -> bytes:
    """Render blocks as a Word document with real heading and list styles."""
    document = Document()
    properties = document.core_properties
    properties.title, properties.author, properties.comments = first_heading(blocks), PRODUCER, ""
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
    number = paragraph.paragraph_format.element.get_or_add_pPr().get_or_add_numPr()
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
