"""PDF: each page's text in reading order, without running heads, under the headings of its bookmarks.

Pdfium is not thread-safe: parse in processes, not threads.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pypdfium2
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from ingest.parsing.encoding import storable
from ingest.parsing.ocr import read_picture
from ingest.parsing.pages import Bookmark, Line, assemble
from ingest.parsing.parsed import Parsed
from ingest.parsing.pictures import MOST_PAGES as MOST_SCANNED
from ingest.parsing.pictures import written_pages
from ingest.parsing.plain import plain_blocks
from retrieval.errors import UnreadableDocument

MOST_PAGES = 10_000
_SCAN_PIXELS = 9_000_000  # of a rendered page: A4 at 300 dots per inch
_SCAN_SCALE = 300 / 72
_HEADER_WITHIN = 1024  # bytes: readers accept junk before it
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_ODD_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u3000]")
_LINE_END_HYPHEN = re.compile("[\ufffe\x02]")  # pdfium's marks for a hyphen at which it joined two lines


def parse_pdf(content: bytes) -> Parsed:
    """The text of all pages. Its title: the one in its properties, else the first bookmark's.

    A PDF of pictures alone is read by text recognition.
    Raises `UnreadableDocument`: `not_a_pdf`, `encrypted`, `corrupt`, `no_text`, `too_complex` or `ocr_unavailable`.
    """
    if b"%PDF-" not in content[:_HEADER_WITHIN]:
        raise UnreadableDocument("not_a_pdf", "the file does not begin as a PDF does")
    if b"%%EOF" not in content:
        # Pdfium would repair it and pass off the first pages as the whole.
        raise UnreadableDocument("corrupt", "the PDF is cut short")
    with closing(_open(content)) as pdf:
        if len(pdf) > MOST_PAGES:
            raise UnreadableDocument("too_complex", f"the PDF has more than {MOST_PAGES} pages")
        pages = [list(_lines_of(pdf, index)) for index in range(len(pdf))]
        bookmarks = list(_bookmarks_of(pdf))
        title = storable(pdf.get_metadata_value("Title")).removeprefix("Microsoft Word - ").strip()
        if not any(pages):
            return replace(_recognised(pdf), title=title)
    text, page_starts, headings = assemble(pages, bookmarks)
    first = next((bookmark.title for bookmark in bookmarks), "")
    return Parsed(
        text=text, blocks=tuple(plain_blocks(text, headings)), title=title or first, page_starts=tuple(page_starts)
    )


def _open(content: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD_ERROR:
            raise UnreadableDocument("encrypted", "the PDF is protected by a password") from error
        raise UnreadableDocument("corrupt", "the PDF is damaged") from error


def _recognised(pdf: pypdfium2.PdfDocument) -> Parsed:
    """What text recognition sees in a PDF of scanned pages."""
    scanned = [_has_picture(pdf, index) for index in range(len(pdf))]
    if not any(scanned):
        raise UnreadableDocument("no_text", "the PDF contains neither text nor pictures of it")
    if sum(scanned) > MOST_SCANNED:
        raise UnreadableDocument("too_complex", f"the PDF has more than {MOST_SCANNED} scanned pages")
    return written_pages([_read_page(pdf, index) if has else "" for index, has in enumerate(scanned)])


def _has_picture(pdf: pypdfium2.PdfDocument, index: int) -> bool:
    with closing(pdf[index]) as page:
        return any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=5))


def _read_page(pdf: pypdfium2.PdfDocument, index: int) -> str:
    with closing(pdf[index]) as page:
        width, height = page.get_size()
        # A page may say that it is a mile wide.
        scale = min(_SCAN_SCALE, (_SCAN_PIXELS / max(1.0, width * height)) ** 0.5)
        return read_picture(page.render(scale=scale, grayscale=True).to_pil())


def _lines_of(pdf: pypdfium2.PdfDocument, index: int) -> Iterator[Line]:
    with closing(pdf[index]) as page, closing(page.get_textpage()) as textpage:
        start = 0
        for line in textpage.get_text_range().split("\n"):
            text = _clean(line)
            if text:
                yield Line(text, _baseline(textpage, start + len(line) - len(line.lstrip())))
            start += len(line) + 1


def _clean(line: str) -> str:
    text = storable(_LINE_END_HYPHEN.sub("-", line.removesuffix("\r")))
    return _ODD_SPACES.sub(" ", text).replace("\n", " ").strip()


def _baseline(textpage: pypdfium2.PdfTextPage, index: int) -> float:
    """Where the line of this character stands; only paragraph breaks depend on it, so a wrong guess is no error."""
    try:
        return float(textpage.get_charbox(min(index, textpage.count_chars() - 1), loose=True)[1])
    except pypdfium2.PdfiumError:
        return 0.0


def _bookmarks_of(pdf: pypdfium2.PdfDocument) -> Iterator[Bookmark]:
    for bookmark in pdf.get_toc():
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if page is not None:
            yield Bookmark(storable(bookmark.get_title()), min(6, bookmark.level + 1), page)
