"""Text in pictures: read by tesseract where it is installed, declared as skipped where it is not."""

import shutil
from io import BytesIO
from pathlib import Path

import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

from ingest.domain import Failure
from ingest.parsing import parse_file
from retrieval.errors import UnreadableDocument

NEEDS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


def picture(text: str) -> Image.Image:
    page = Image.new("L", (1200, 300), 255)
    ImageDraw.Draw(page).text((60, 100), text, fill=0, font=ImageFont.load_default(size=64))
    return page


def saved(kind: str, *pages: Image.Image) -> bytes:
    made = BytesIO()
    pages[0].save(made, kind, **({"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}))
    return made.getvalue()


def scan(*pages: Image.Image) -> bytes:
    """A PDF of pictures, without a word of text."""
    pdf = FPDF()
    for page in pages:
        pdf.add_page()
        pdf.image(page, w=180)
    return bytes(pdf.output())


FILES = {"a.png": saved("PNG", picture("Setpoint")), "a.pdf": scan(picture("Setpoint"))}


@pytest.mark.parametrize("name", FILES)
def test_without_tesseract_pictures_are_declared_skipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only text recognition could read has a code of its own, which is no failure of the run."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnreadableDocument) as raised:
        parse_file(Path(name), FILES[name], None)
    assert raised.value.reason == "ocr_unavailable"
    assert Failure(uri=name, reason=raised.value.reason, message="").is_declared


@NEEDS_TESSERACT
def test_pages_of_a_fax_are_read_in_order() -> None:
    """Each picture of a file is a page with its text."""
    document = parse_file(Path("fax.tiff"), saved("TIFF", picture("Setpoint"), picture("Minus eighteen")), None)
    assert document.text == "Setpoint\n\nMinus eighteen"
    assert document.page_starts == (0, document.text.index("Minus"))


@NEEDS_TESSERACT
def test_a_scanned_pdf_is_read() -> None:
    """A PDF of pictures has the text in them, page by page; a blank one has none."""
    document = parse_file(Path("a.pdf"), scan(picture("Setpoint"), picture("Minus eighteen")), None)
    assert document.text == "Setpoint\n\nMinus eighteen"
    assert len(document.page_starts) == 2
    with pytest.raises(UnreadableDocument, match="no text was recognised"):
        parse_file(Path("a.png"), saved("PNG", picture("")), None)
