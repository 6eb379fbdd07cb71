"""Word documents, by way of HTML."""

import mammoth
from bs4 import BeautifulSoup

from ingest.parsing.archives import Parts, packed, read_parts, refuse_entities
from ingest.parsing.html import from_markdown, make_soup
from ingest.parsing.parsed import Parsed
from ingest.parsing.rendering import render

_MAIN_PART = "word/document.xml"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def parse_docx(content: bytes) -> Parsed:
    """The document as Markdown. Its title: the first heading 1, else the one in its properties.

    Raises `UnreadableDocument`: `not_a_docx`, and what `archives` raises.
    """
    parts = read_parts(content, "docx", _MAIN_PART)
    refuse_entities(parts)
    # Images are neither read nor fetched, and external files never opened.
    result = mammoth.convert_to_html(packed(parts), style_map=_STYLES, convert_image=_no_image)
    return from_markdown(render(make_soup(result.value)), core_title(parts))


def core_title(parts: Parts) -> str:
    """The title in the properties of an Office document, or ""."""
    title = BeautifulSoup(parts.get("docProps/core.xml", b""), "xml").find("title")
    return title.get_text() if title else ""


def _no_image(_image: object) -> list[object]:
    return []
