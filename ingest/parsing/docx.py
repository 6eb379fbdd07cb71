"""Word documents, by way of HTML."""

import zipfile
from collections.abc import Iterator
from io import BytesIO

import mammoth
from bs4 import BeautifulSoup

from ingest.parsing.html import from_markdown, make_soup
from ingest.parsing.parsed import Parsed
from ingest.parsing.rendering import render
from retrieval.errors import UnreadableDocument

LARGEST_UNPACKED = 200 * 1024 * 1024  # bytes
LARGEST_RATIO = 100
_RATIO_MATTERS_FROM = 20 * 1024 * 1024  # a small file of one repeated line packs as well as a bomb
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_MAIN_PART = "word/document.xml"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def parse_docx(content: bytes) -> Parsed:
    """The document as Markdown. Its title: the first heading 1, else the one in its properties.

    Raises `UnreadableDocument`: `encrypted`, `not_a_docx`, `corrupt` or `too_complex`.
    """
    if content.startswith(_OLE_MAGIC) and _ENCRYPTED_STREAM in content:
        raise UnreadableDocument("encrypted", "the Word document is protected by a password")
    named = _check_package(content)
    # Images are neither read nor fetched, and external files never opened.
    result = mammoth.convert_to_html(BytesIO(content), style_map=_STYLES, convert_image=_no_image)
    return from_markdown(render(make_soup(result.value)), named)


def _no_image(_image: object) -> list[object]:
    return []


def _check_package(content: bytes) -> str:
    """Refuse what is no Word document or would not fit in memory; return the title in its properties."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as package:
            if _MAIN_PART not in package.namelist():
                raise UnreadableDocument("not_a_docx", "the file is a zip archive, but not a Word document")
            _refuse_bomb(package, len(content))
            _refuse_entities(package)
            return _core_title(package)
    except zipfile.BadZipFile as error:
        if content.startswith(b"PK"):
            raise UnreadableDocument("corrupt", "the Word document is damaged or cut short") from error
        raise UnreadableDocument("not_a_docx", "the file is not a Word document (.docx)") from error


def _refuse_bomb(package: zipfile.ZipFile, packed: int) -> None:
    unpacked = sum(entry.file_size for entry in package.infolist())
    swollen = unpacked > _RATIO_MATTERS_FROM and unpacked > packed * LARGEST_RATIO
    if unpacked > LARGEST_UNPACKED or swollen:
        raise UnreadableDocument("too_complex", f"the Word document unpacks to {unpacked // 2**20} MiB")


def _refuse_entities(package: zipfile.ZipFile) -> None:
    """Word writes no document types; whoever does is after the XML parser."""
    for name in _xml_parts(package):
        # Without NULs, so that UTF-16 hides nothing.
        if b"<!DOCTYPE" in package.read(name).replace(b"\0", b""):
            raise UnreadableDocument("corrupt", "the Word document contains a document type declaration")


def _xml_parts(package: zipfile.ZipFile) -> Iterator[str]:
    return (name for name in package.namelist() if name.lower().endswith((".xml", ".rels")))


def _core_title(package: zipfile.ZipFile) -> str:
    if "docProps/core.xml" not in package.namelist():
        return ""
    title = BeautifulSoup(package.read("docProps/core.xml"), "xml").find("title")
    return title.get_text() if title else ""
