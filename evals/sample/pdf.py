"""Blocks to a PDF with outline bookmarks and numbered pages."""

from collections.abc import Sequence

from fpdf import FPDF

from evals.sample import BUILT_AT, PRODUCER
from evals.sample.markdown import Block, Code, Heading, ListItem, Paragraph, Span, Table, first_heading

HEADING_SIZES = (18, 14, 12, 11)
LATIN1_REPLACEMENTS = str.maketrans(
    {"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "…": "...", "€": "EUR"}
)


class _SamplePdf(FPDF):
    """A PDF whose every page ends with its number and the number of pages."""

    last_bookmark = -1

    def footer(self) -> None:
        """Write ``Page N of M`` at the foot of the page."""
        self.set_y(-15)
        self.set_font("Helvetica", "I", 8)
        self.cell(0, 10, f"Page {self.page_no()} of {{nb}}", align="C")

    def bookmark(self, text: str, heading_level: int) -> None:
        """Add a bookmark, at most one level below the bookmark before it."""
        self.last_bookmark = min(heading_level - 1, self.last_bookmark + 1)
        self.start_section(text, level=self.last_bookmark)


def render_pdf(blocks: Sequence[Block]) -> bytes:
    """Render blocks as a PDF; raise UnicodeEncodeError for text beyond Latin-1."""
    pdf = _SamplePdf()
    pdf.set_creation_date(BUILT_AT)
    pdf.set_producer(PRODUCER)
    pdf.set_title(_latin1(first_heading(blocks)))
    pdf.set_margin(22)
    pdf.set_auto_page_break(True, margin=22)
    pdf.add_page()
    for block in blocks:
        _draw(pdf, block)
    return bytes(pdf.output())


def _draw(pdf: _SamplePdf, block: Block) -> None:
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


def _draw_heading(pdf: _SamplePdf, heading: Heading) -> None:
    size = HEADING_SIZES[min(heading.level, len(HEADING_SIZES)) - 1]
    if pdf.will_page_break(30):
        pdf.add_page()
    pdf.ln(3)
    pdf.bookmark(_latin1(heading.text), heading.level)
    pdf.set_font("Helvetica", "B", size)
    pdf.multi_cell(0, size * 0.5, _latin1(heading.text), align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


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
    widths = tuple(min(max(map(len, column)), 40) + 4 for column in zip(*rows, strict=True))
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
