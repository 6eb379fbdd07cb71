"""OpenDocument (LibreOffice): texts, spreadsheets and presentations, read from their one XML part."""

from collections.abc import Iterable, Iterator
from itertools import repeat

from lxml import etree

from ingest.parsing.archives import Parts, read_parts, refuse_entities
from ingest.parsing.markup import local_name, xml_tree
from ingest.parsing.parsed import Parsed
from ingest.parsing.tables import MOST_COLUMNS, write_sheet, write_table
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

_CONTENT, _MANIFEST = "content.xml", "META-INF/manifest.xml"
_NOT_TEXT = frozenset({"tracked-changes", "annotation", "note-citation", "sequence-decls", "forms", "desc", "title"})
_BREAKS = {"line-break": "\n", "tab": "\t"}
_INDENT = "  "


def parse_odt(content: bytes) -> Parsed:
    """A text, its headings by their outline level. Raises `UnreadableDocument`: `not_a_odt`, `encrypted`, …"""
    return _parse(content, "odt", "text")


def parse_ods(content: bytes) -> Parsed:
    """A spreadsheet, each sheet under its name. Raises as `parse_odt`, with `not_a_ods`."""
    return _parse(content, "ods", "spreadsheet")


def parse_odp(content: bytes) -> Parsed:
    """A presentation, each slide a page under its name. Raises as `parse_odt`, with `not_a_odp`."""
    return _parse(content, "odp", "presentation")


def _parse(content: bytes, extension: str, kind: str) -> Parsed:
    parts = read_parts(content, extension, _CONTENT)
    if b"encryption-data" in parts.get(_MANIFEST, b""):
        raise UnreadableDocument("encrypted", "the document is protected by a password")
    refuse_entities(parts)
    body = next(xml_tree(parts[_CONTENT]).iter(f"{{*}}{kind}"), None)
    if body is None:
        raise UnreadableDocument(f"not_a_{extension}", f"the file holds no {kind}")
    writing = Writing()
    _write(writing, body)
    return writing.parsed(_title(parts))


def _title(parts: Parts) -> str:
    meta = xml_tree(parts["meta.xml"]) if "meta.xml" in parts else etree.Element("none")
    return next((_text(element) for element in meta.iter("{*}title")), "")


def _write(writing: Writing, parent: etree._Element) -> None:
    for element in parent.iterchildren(etree.Element):
        name = local_name(element)
        if name == "h":
            writing.heading(_number(element, "outline-level"), _text(element))
        elif name == "p":
            writing.paragraph(_text(element))
            _write_boxes(writing, element)
        elif name == "list":
            writing.lines("list", _items(element, 0))
        elif name == "table":
            _write_table(writing, element)
        elif name == "page":
            writing.page()
            writing.heading(1, _attribute(element, "name"))
            _write(writing, element)
        elif name not in _NOT_TEXT:
            _write(writing, element)


def _write_boxes(writing: Writing, paragraph: etree._Element) -> None:
    """Frames of text, anchored in a paragraph that goes on around them."""
    for box in paragraph.iter("{*}text-box"):
        _write(writing, box)


def _write_table(writing: Writing, table: etree._Element) -> None:
    rows = _rows(table)
    parent = table.getparent()
    if parent is not None and local_name(parent) == "spreadsheet":
        writing.heading(1, _attribute(table, "name"))
        write_sheet(writing, rows)
    else:
        write_table(writing, rows)


def _rows(table: etree._Element) -> Iterator[list[str]]:
    for row in table.iter("{*}table-row"):
        cells = _cells(row)
        if any(cells):
            yield from repeat(cells, _repeated(row, "number-rows-repeated"))


def _cells(row: etree._Element) -> list[str]:
    """A repeated cell with text is there as often as it says; empty ones fill up to the last that is not."""
    cells: list[str] = []
    pending = 0
    for cell in row.iterchildren("{*}table-cell", "{*}covered-table-cell"):
        text = " ".join(_text(part) for part in cell.iterchildren("{*}p", "{*}h", "{*}list"))
        times = _repeated(cell, "number-columns-repeated")
        if text:
            cells += [""] * pending + [text] * times
            pending = 0
        else:
            pending += times
        if len(cells) + pending > 2 * MOST_COLUMNS:
            raise UnreadableDocument("too_complex", f"a row has more than {MOST_COLUMNS} columns")
    return cells


def _items(items: etree._Element, depth: int) -> Iterator[str]:
    for part in items.iter("{*}list-item", "{*}list-header") if depth == 0 else ():
        level = sum(1 for _ in part.iterancestors("{*}list")) - 1
        texts = (_text(child) for child in part.iterchildren("{*}p", "{*}h"))
        line = " ".join(" ".join(filter(None, texts)).split())
        if line:
            yield f"{_INDENT * level}- {line}"


def _text(element: etree._Element) -> str:
    """The text of an element, without what was deleted, remarked or anchored in it."""
    return "".join(_pieces(element)).strip()


def _pieces(element: etree._Element) -> Iterable[str]:
    yield element.text or ""
    for child in element.iterchildren(etree.Element):
        name = local_name(child)
        if name == "s":
            yield " " * min(100, _number(child, "c"))
        elif name in _BREAKS:
            yield _BREAKS[name]
        elif name not in _NOT_TEXT and name != "frame":
            yield from _pieces(child)
        yield child.tail or ""


def _repeated(element: etree._Element, attribute: str) -> int:
    return _number(element, attribute)


def _number(element: etree._Element, attribute: str) -> int:
    written = _attribute(element, attribute)
    return max(1, int(written)) if written.isdecimal() and len(written) < 10 else 1


def _attribute(element: etree._Element, name: str) -> str:
    """The value of an attribute, whatever its namespace."""
    return next((str(value) for key, value in element.attrib.items() if etree.QName(key).localname == name), "")
