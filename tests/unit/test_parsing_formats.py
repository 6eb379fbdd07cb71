"""Every format gives clean text, true blocks and its title."""

from io import BytesIO
from pathlib import Path

import docx
import pytest
from fpdf import FPDF

from ingest.domain import Document
from ingest.parsing import parse_file


def parse(name: str, content: bytes | str, title: str | None = None) -> Document:
    return parse_file(Path(name), content.encode() if isinstance(content, str) else content, title)


def blocks_of(document: Document) -> list[tuple[str, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def headings_of(document: Document) -> list[tuple[int, str]]:
    return [(block.level, document.text[block.start : block.end]) for block in document.blocks if block.level]


def make_pdf(*pages: str, bookmarks: bool = False) -> bytes:
    pdf = FPDF()
    pdf.set_title("Pump manual")
    for page in pages:
        pdf.add_page()
        pdf.set_font("Helvetica", size=11)
        for paragraph in page.split("\n\n"):
            if bookmarks and paragraph.istitle():
                pdf.start_section(paragraph)
            pdf.multi_cell(0, 5, paragraph, new_x="LMARGIN", new_y="NEXT")
            pdf.ln(5)
    return bytes(pdf.output())


def make_docx() -> bytes:
    document = docx.Document()
    document.core_properties.title = "From the properties"
    document.add_heading("Setpoints", level=2)
    document.add_paragraph("Bananas at 13.4 degrees_C and *never* lower.")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Class", "Range", "F1", "-18 C"], strict=True):
        cell.text = text
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_markdown_is_stored_as_written() -> None:
    """The text of Markdown is the file's, less its byte order mark and with plain newlines."""
    source = "# *Title* `x`\n\nText with **bold**.\n\n- a\n- b\n\n| h |\n|---|\n| c |\n\n```\n# no heading\n```\n"
    document = parse("a.md", b"\xef\xbb\xbf" + source.replace("\n", "\r\n").encode())
    assert document.text == source
    assert [kind for kind, _ in blocks_of(document)] == ["heading", "paragraph", "list", "table", "code"]
    assert document.title == "Title x"
    assert document.content_type == "text/markdown"


def test_front_matter_is_no_block_but_names_the_document() -> None:
    """YAML front matter gives the title and no block, even where it looks like Markdown."""
    document = parse("a.md", "---\ntitle: Named\n# comment\n---\n\n# Heading\n\nText.\n")
    assert document.title == "Named"
    assert blocks_of(document) == [("heading", "# Heading"), ("paragraph", "Text.")]


@pytest.mark.parametrize("front", ["title: [", "title: 2025-13-45", 'title: !!python/object/apply:os.system ["id"]'])
def test_hostile_front_matter_does_nothing(front: str) -> None:
    """Front matter that is no plain YAML is left unread."""
    assert parse("stem.md", f"---\n{front}\n---\nText.\n").title == "stem"


def test_the_given_title_wins() -> None:
    """A title from outside is preferred to the document's own, and is one line that Postgres can store."""
    assert parse("a.md", "# Own\n", title="Given\n\x00title").title == "Given \ufffdtitle"


def test_headings_across_lines_and_lookalikes() -> None:
    """Setext headings count in Markdown; what U+2028 or a form feed separates is still one line."""
    document = parse("a.md", "Title\n=====\n\na\u2028# b\x0c# c\n")
    assert headings_of(document) == [(1, "Title\n=====")]


def test_plain_text_is_never_markdown() -> None:
    """A text file is stored as it is, and # * ` mean nothing in it."""
    source = "# not a heading\n\n* one\n* two\n\n```\ncode?\n"
    document = parse("notes.txt", source)
    assert document.text == source
    assert [kind for kind, _ in blocks_of(document)] == ["paragraph", "list", "paragraph"]
    assert document.title == "notes"


def test_plain_headings_by_capitals_underlines_and_clauses() -> None:
    """Lines in capitals, underlined lines and clause numbers head text; columns and sentences do not."""
    source = (
        "REEFER CARD\nIssue 7.\n\nCODE   MEANING\n12     low coolant\n41     probe\n\n"
        "Fuel\n----\nThree quarters.\n\n§ 2 Wöchentliche Arbeitszeit\n38,5 Stunden.\n\nSTOP AT ONCE!\n"
    )
    document = parse("card.txt", source)
    assert headings_of(document) == [(1, "REEFER CARD"), (2, "Fuel\n----"), (2, "§ 2 Wöchentliche Arbeitszeit")]
    assert ("table", "CODE   MEANING\n12     low coolant\n41     probe") in blocks_of(document)
    assert document.title == "REEFER CARD"


PAGE = """<!DOCTYPE html><html><head><title>Site | Page</title><style>x{}</style></head><body>
<header><a href="/">Logo</a></header><nav><a href="/a">Menu</a></nav><p class="breadcrumb">Home</p>
<main><h1>Cold <em>chain</em><a class="headerlink" href="#x">¶</a></h1>
<p>Use <code>pg_dump</code> and
   <a href="http://x.example">the link</a>,&nbsp;not *stars*<img src="a.png" alt="picture">.</p>
<ol start="3"><li>one<ul><li>inner</li></ul></li><li>two</li></ol>
<pre>line 1
  line ``` 2</pre>
<table><tr><th>Class</th><th>Range</th></tr><tr><td><p>F1</p><p>deep</p></td><td><ul><li>-18</li></ul></td></tr></table>
<div class="note"><h3>Note</h3><p>Careful.</p></div><p hidden>secret</p><p style="display: none">secret</p>
</main><aside>Related</aside><footer>Imprint</footer><script>alert(1)</script></body></html>"""


def test_html_reads_clean() -> None:
    """A page becomes Markdown without navigation, links, emphasis, escapes or hidden text."""
    assert parse("a.html", PAGE).text == (
        "# Cold chain\n\nUse pg_dump and the link, not *stars*.\n\n3. one\n   - inner\n4. two\n\n"
        "````\nline 1\n  line ``` 2\n````\n\n| Class | Range |\n| --- | --- |\n| F1 deep | -18 |\n\nNote\n\nCareful."
    )


def test_html_is_named_by_its_heading_or_title() -> None:
    """A page's title is its first h1, else its <title>."""
    assert parse("a.html", PAGE).title == "Cold chain"
    assert parse("a.html", "<title>T &amp; U</title><h2>x</h2><p>y</p>").title == "T & U"


def test_html_text_cannot_pose_as_structure() -> None:
    """Only elements make headings and code: text that looks like Markdown stays text."""
    document = parse("a.html", "<p># x</p><p>```</p><p>a<br>===</p><p>b<br>---</p><p>[x]: y</p><h2>Real _x_</h2>")
    assert headings_of(document) == [(2, "## Real _x_")]
    assert all(kind == "paragraph" for kind, _ in blocks_of(document)[:-1])


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<form><h1>All</h1><p>in a form</p></form>", "# All\n\nin a form"),
        ("<header><h1>Only</h1><p>menu</p></header><p>x</p>", "# Only\n\nx"),
        ("<article><header><h1>Own</h1></header><p>x</p></article>", "# Own\n\nx"),
        ("<table><tr><td><table><tr><td>lay</td></tr></table>out</td></tr></table>", "| lay |\n| --- |\n\nout"),
        ("<dl><dt>UNIQUE</dt><dd><p>No duplicates.</p></dd></dl>", "UNIQUE\nNo duplicates."),
        ("<div class=navheader>Prev</div><p>x</p><div class='sphinxsidebar'>y</div>", "x"),
    ],
)
def test_html_pages_of_every_make(page: str, text: str) -> None:
    """Content is found whatever the page wraps around it."""
    assert parse("a.html", page).text == text


def test_html_entities_of_its_own_do_nothing() -> None:
    """A document type's entities are neither expanded nor fetched."""
    page = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "boom">]><p>&x; &y; &#0; &#xD800;</p>'
    text = parse("a.html", page).text
    assert "root:" not in text
    assert "boom" not in text.split("\n")[-1]
    assert "\x00" not in text


def test_word_documents_keep_their_structure() -> None:
    """Word headings, lists and tables become Markdown; without a heading 1 the properties name it."""
    document = parse("a.docx", make_docx())
    assert document.text == (
        "## Setpoints\n\nBananas at 13.4 degrees_C and *never* lower.\n\n- first\n\n"
        "| Class | Range |\n| --- | --- |\n| F1 | -18 C |"
    )
    assert document.title == "From the properties"
    assert [kind for kind, _ in blocks_of(document)] == ["heading", "paragraph", "list", "table"]


def test_pdf_pages_paragraphs_and_bookmarks() -> None:
    """A PDF's bookmarks head its text, its paragraphs end at gaps, and its pages begin where they say."""
    content = make_pdf(
        "Before You Leave\n\nCheck the seal.\nCheck it twice.\n\n# Take the papers.",
        "On The Road\n\nDrive with care.",
        bookmarks=True,
    )
    document = parse("a.pdf", content)
    assert headings_of(document) == [(1, "Before You Leave"), (1, "On The Road")]
    assert ("paragraph", "Check the seal.\nCheck it twice.") in blocks_of(document)
    assert [document.text[start : start + 6] for start in document.page_starts] == ["Before", "On The"]
    assert document.title == "Pump manual"


def test_pdf_running_heads_are_dropped() -> None:
    """Page numbers go, a repeated head stays once, and figures that merely look alike all stay."""
    pages = [
        f"ACME manual\n\nText {word} here.\n\nRow {n * 7} EUR\n\nPage {n} of 4" for n, word in enumerate("abcd", 1)
    ]
    text = parse("a.pdf", make_pdf(*pages)).text
    assert "Page" not in text
    assert text.count("ACME manual") == 1
    assert all(f"Row {n * 7} EUR" in text for n in range(1, 5))


def test_pdf_paragraph_goes_on_over_a_page_break() -> None:
    """A sentence cut by a page break stays in one paragraph, and both pages are known."""
    document = parse("a.pdf", make_pdf("The load goes to the", "nearest cold store. It waits."))
    assert blocks_of(document) == [("paragraph", "The load goes to the\nnearest cold store. It waits.")]
    assert document.page_starts == (0, 21)


def test_an_empty_page_begins_where_the_next_does() -> None:
    """Pages without text keep their number and take no text."""
    document = parse("a.pdf", make_pdf("One.", "", "Three."))
    assert document.page_starts == (0, 6, 6)
