"""PDF: each page's text in reading order, without running heads, under the headings of its bookmarks.

Pdfium is not thread-safe: parse in processes, not threads.
"""

import re
from collections.abc import Iterator
from contextlib import closing

import pypdfium2

from ingest.parsing.encoding import storable
from ingest.parsing.pages import Bookmark, Line, assemble
from ingest.parsing.parsed import Parsed
from ingest.parsing.plain import plain_blocks
from retrieval.errors import UnreadableDocument

_HEADER_WITHIN = 1024  # bytes: readers accept junk before it
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_ODD_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u3000]")
_LINE_END_HYPHEN = re.compile("[\ufffe\x02]")  # pdfium's marks for a hyphen at which it joined two lines


def parse_pdf(content: bytes) -> Parsed:
    """The text of all pages. Its title: the one in its properties, else the first bookmark's.

    Raises `UnreadableDocument`: `not_a_pdf`, `encrypted`, `corrupt` or `no_text`.
    """
    if b"%PDF-" not in content[:_HEADER_WITHIN]:
        raise UnreadableDocument("not_a_pdf", "the file does not begin as a PDF does")
    if b"%%EOF" not in content:
        # Pdfium would repair it and pass off the first pages as the whole.
        raise UnreadableDocument("corrupt", "the PDF is cut short")
    with closing(_open(content)) as pdf:
        pages = [list(_lines_of(pdf, index)) for index in range(len(pdf))]
        bookmarks = list(_bookmarks_of(pdf))
        title = storable(pdf.get_metadata_value("Title")).removeprefix("Microsoft Word - ").strip()
    if not any(pages):
        raise UnreadableDocument("no_text", "the PDF contains no text; scanned pages need text recognition first")
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
