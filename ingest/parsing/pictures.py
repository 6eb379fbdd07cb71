"""Pictures of text: photographs, scans, faxes of several pages."""

import warnings
from io import BytesIO

from PIL import Image, ImageSequence, UnidentifiedImageError

from ingest.parsing.ocr import MOST_PIXELS, read_picture
from ingest.parsing.parsed import Parsed
from ingest.parsing.plain import parse_plain
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

MOST_PAGES = 100
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")


def parse_picture(content: bytes) -> Parsed:
    """The text of each page.

    Raises `UnreadableDocument`: `not_an_image`, `ocr_unavailable`, `too_complex`, `corrupt` or `no_text`.
    """
    with warnings.catch_warnings():
        # The limit here is stricter than the one the library warns of.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture = _open(content)
    if picture.width * picture.height > MOST_PIXELS or getattr(picture, "n_frames", 1) > MOST_PAGES:
        raise UnreadableDocument("too_complex", f"it has over {MOST_PIXELS} pixels or {MOST_PAGES} pages")
    return written_pages([read_picture(page) for page in ImageSequence.Iterator(picture)])


def written_pages(texts: list[str]) -> Parsed:
    """Pages as they were read. Raises `UnreadableDocument` (`no_text`) where all are blank."""
    writing = Writing()
    for text in texts:
        writing.page()
        writing.include(parse_plain(text.strip().encode()))
    parsed = writing.parsed("")
    if not parsed.text:
        raise UnreadableDocument("no_text", "no text was recognised in it")
    return parsed


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableDocument("not_an_image", "the file is not a picture, or one that is damaged") from error
    except Image.DecompressionBombError as error:
        raise UnreadableDocument("too_complex", f"it has over {MOST_PIXELS} pixels") from error
