"""Presentations, spreadsheets and OpenDocument files: pages, headings, tables."""

import datetime
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import xlsxwriter
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from ingest.chunking import cut
from ingest.domain import Document
from ingest.parsing import content_type_of, extension_of, parse_file
from ingest.parsing.formats import FORMATS
from tests.unit.test_parsing_formats import blocks_of, headings_of, parse

OFFICE_NS = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
TEXT_NS = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
TABLE_NS = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
DRAW_NS = "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"


CHART = "By quarter\n\n|  | Claims |\n| --- | --- |\n| Q1 | 3.0 |\n| Q2 |"
CLAIMS = (
    "| No | Due | Paid | Sum |\n| --- | --- | --- | --- |\n| 1 | 2026-03-01 | true | 12.5 |\n| 2 |  | false | 1000 |"
)


def make_pptx() -> bytes:
    deck = Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Pump\nreview"
    body = first.placeholders[1].text_frame
    body.text = "Seals wear out"
    point = body.add_paragraph()
    point.text, point.level = "after 900 h", 1
    first.notes_slide.notes_text_frame.text = "Say why."
    deck.slides.add_slide(deck.slide_layouts[6])
    third = deck.slides.add_slide(deck.slide_layouts[6])
    table = third.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for cell, text in zip(table.iter_cells(), ["Class", "Range", "F1", "-18 | cold"], strict=True):
        cell.text = text
    numbers = CategoryChartData()  # type: ignore[no-untyped-call]
    numbers.categories = ["Q1", "Q2"]
    numbers.add_series("Claims", (3, None))  # type: ignore[no-untyped-call]
    drawn = third.shapes.add_chart(XL_CHART_TYPE.LINE, Inches(1), Inches(3), Inches(4), Inches(2), numbers)
    drawn.chart.chart_title.text_frame.text = "By quarter"
    buffer = BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def make_xlsx(**sheets: list[list[object]]) -> bytes:
    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                for column, value in enumerate(row):
                    sheet.write(at, column, value, *([day] if isinstance(value, datetime.date) else []))
    return buffer.getvalue()


def make_open(kind: str, body: str, *, manifest: str = "<m/>") -> bytes:
    names = " ".join(
        f'xmlns:{prefix}="{uri}"'
        for prefix, uri in (("office", OFFICE_NS), ("text", TEXT_NS), ("table", TABLE_NS), ("draw", DRAW_NS))
    )
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("content.xml", f"<office:d {names}><office:{kind}>{body}</office:{kind}></office:d>")
        archive.writestr("META-INF/manifest.xml", manifest)
    return buffer.getvalue()


def pages_of(document: Document) -> list[str]:
    ends = [*document.page_starts[1:], len(document.text)]
    return [document.text[start:end].strip() for start, end in zip(document.page_starts, ends, strict=True)]


def test_slides_are_pages_under_their_titles() -> None:
    """Each slide is a page; points are lists, tables and charts are tables, notes are the speaker's."""
    document = parse("deck.pptx", make_pptx())
    assert pages_of(document) == [
        "# Pump review\n\n- Seals wear out\n  - after 900 h\n\n## Notes\n\nSay why.",
        "",
        "# Slide 3\n\n| Class | Range |\n| --- | --- |\n| F1 | -18 \\| cold |\n\n" + CHART,
    ]


def test_sheets_are_tables_under_their_names() -> None:
    """A sheet is a heading, what stands above its header is its caption, values read as a person sees them."""
    due = datetime.date(2026, 3, 1)
    content = make_xlsx(
        Claims=[["Claims 2026"], [], ["No", "Due", "Paid", "Sum"], [1, due, True, 12.5], [], [2, "", False, 1e3]],
        Empty=[],
    )
    document = parse("a.xlsx", content)
    assert blocks_of(document) == [
        ("heading", "# Claims"),
        ("paragraph", "Claims 2026"),
        ("table", CLAIMS),
    ]


def test_open_documents_keep_headings_lists_and_tables() -> None:
    """What LibreOffice writes reads as what Word writes; repeated cells are there as often as they say."""
    table = (
        '<table:table><table:table-row><table:table-cell table:number-columns-repeated="2"><text:p>h</text:p>'
        "</table:table-cell></table:table-row><table:table-row><table:table-cell/><table:table-cell><text:p>v</text:p>"
        '</table:table-cell><table:table-cell table:number-columns-repeated="16000"/></table:table-row></table:table>'
    )
    body = (
        '<text:h text:outline-level="2">Set<text:span>points</text:span></text:h><text:p>a<text:s text:c="2"/>b'
        "<text:line-break/>c</text:p><text:list><text:list-item><text:p>one</text:p><text:list><text:list-item>"
        "<text:p>inner</text:p></text:list-item></text:list></text:list-item></text:list>"
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
    )
    document = parse("a.odt", make_open("text", body + table))
    assert document.text == "## Setpoints\n\na  b\nc\n\n- one\n  - inner\n\n| h | h |\n| --- | --- |\n|  | v |"
    sheet = parse("a.ods", make_open("spreadsheet", table.replace("<table:table>", '<table:table table:name="T">')))
    assert sheet.text == "# T\n\n| h | h |\n| --- | --- |\n|  | v |"
    slides = parse("a.odp", make_open("presentation", '<draw:page draw:name="p"><text:p>x</text:p></draw:page>' * 2))
    assert pages_of(slides) == ["# p\n\nx"] * 2


@pytest.mark.parametrize("name", ["a.xlsx", "a.pptx", "a.ods"])
def test_an_empty_office_file_is_empty(name: str) -> None:
    """A workbook without a cell, or a deck without a word, is empty, not damaged."""
    deck = BytesIO()
    Presentation().save(deck)
    content = {"a.xlsx": make_xlsx(S=[]), "a.pptx": deck.getvalue(), "a.ods": make_open("spreadsheet", "")}[name]
    with pytest.raises(Exception, match="no text"):
        parse(name, content)


def test_content_types_and_extensions_lead_to_each_other() -> None:
    """A name gives a content type, and each content type the extension it is read under."""
    for one in FORMATS:
        for content_type in (one.content_type, *one.also):
            assert extension_of(f"{content_type.upper()}; charset=x") == one.extensions[0]
        assert {content_type_of(f"A{extension.upper()}") for extension in one.extensions} == {one.content_type}
    assert content_type_of("x.exe") is None
    assert extension_of("application/x-msdownload") is None


def test_a_slide_is_cut_with_its_page() -> None:
    """Chunks of a presentation know their slide."""
    document = parse_file(Path("deck.pptx"), make_pptx(), None)
    chunks = cut(document, lambda texts: [len(text.split()) + 2 for text in texts], 30, 0)
    assert {chunk.first_page for chunk in chunks} == {1, 3}
    assert headings_of(document)[0] == (1, "# Pump review")
