"""EPUB books: the chapters in reading order."""

from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote

from lxml import etree

from ingest.parsing.archives import Parts, read_parts
from ingest.parsing.html import parse_html
from ingest.parsing.markup import local_name, text_of, xml_tree
from ingest.parsing.parsed import Parsed
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

MOST_CHAPTERS = 2000
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def parse_epub(content: bytes) -> Parsed:
    """The book's text, each chapter under a heading. Its title: the one in its package.

    Raises `UnreadableDocument`: `not_a_epub`, `encrypted` (digital rights), `corrupt`, and what `archives` raises.
    """
    parts = read_parts(content, "epub", _CONTAINER)
    package = _package_name(parts)
    root = xml_tree(_part(parts, package))
    chapters = _chapters(root, str(PurePosixPath(package).parent))
    _refuse_locked(parts, chapters)
    title = next((text_of(element) for element in root.iter(etree.Element) if local_name(element) == "title"), "")
    writing = Writing()
    for name in chapters:
        _write_chapter(writing, parse_html(_part(parts, name)), title)
    return writing.parsed(title)


def _write_chapter(writing: Writing, chapter: Parsed, book: str) -> None:
    if not chapter.text:
        return
    if not any(block.level for block in chapter.blocks) and chapter.title != book:
        writing.heading(1, chapter.title)
    writing.include(chapter)


def _package_name(parts: Parts) -> str:
    files = [element.get("full-path") for element in xml_tree(parts[_CONTAINER]).iter("{*}rootfile")]
    if not files or not files[0]:
        raise UnreadableDocument("corrupt", "the book does not say where its package is")
    return normpath(str(files[0]))


def _chapters(package: etree._Element, folder: str) -> list[str]:
    """The names of the parts to read, in the order of the spine; tables of contents are no text."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    references = (reference.get("idref") for reference in package.iter("{*}itemref"))
    read = [items[reference] for reference in references if reference in items]
    if len(read) > MOST_CHAPTERS:
        raise UnreadableDocument("too_complex", f"the book has more than {MOST_CHAPTERS} chapters")
    pages = [item for item in read if "html" in item.get("media-type", "") and item.get("properties") != "nav"]
    return [normpath(f"{folder}/{unquote(item.get('href', ''))}") for item in pages]


def _refuse_locked(parts: Parts, chapters: list[str]) -> None:
    """Fonts may be scrambled; a book whose chapters are cannot be read."""
    if _ENCRYPTION in parts:
        references = xml_tree(parts[_ENCRYPTION]).iter("{*}CipherReference")
        locked = {normpath(unquote(reference.get("URI", ""))) for reference in references}
        if locked.intersection(chapters):
            raise UnreadableDocument("encrypted", "the book is protected by digital rights management")


def _part(parts: Parts, name: str) -> bytes:
    if name not in parts:
        raise UnreadableDocument("corrupt", f"the book lacks its part {name}")
    return parts[name]
