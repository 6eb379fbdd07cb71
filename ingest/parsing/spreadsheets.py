"""Excel workbooks: each sheet under its name, its rows as a table. Formulas are what they came to when it was saved."""

import datetime
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import chain, pairwise

from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum

from ingest.parsing.archives import Parts, packed, read_parts, refuse_entities
from ingest.parsing.docx import core_title
from ingest.parsing.parsed import Parsed
from ingest.parsing.tables import write_sheet
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

MOST_CELLS = 20_000_000  # of one sheet, empty ones between the others too: the library holds them all
MOST_TEXT = 500_000_000  # bytes: it also holds a shared text once for each cell that shows it
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_REFERENCE = re.compile(rb"""\br\s*=\s*["']([A-Z]{1,7})([0-9]{1,9})["']""")
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^>]*?\br\s*=\s*["']([0-9]{1,9})["']""")
_SHARED = re.compile(rb"<(?:\w+:)?si\b")
_SHOWN = re.compile(rb"""\bt\s*=\s*["']s["'][^>]*>\s*<(?:\w+:)?v>\s*([0-9]{1,9})""")


def parse_xlsx(content: bytes) -> Parsed:
    """Raises `UnreadableDocument`: `not_a_xlsx`, `too_complex`, `corrupt`, and what `archives` raises."""
    parts = read_parts(content, "xlsx", "xl/workbook.xml")
    refuse_entities(parts)
    for name, part in parts.items():
        if name.startswith("xl/worksheets/"):
            _refuse_sparse(part)
    _refuse_repeated_text(parts)
    return _parse(packed(parts), core_title(parts))


def parse_xls(content: bytes) -> Parsed:
    """The format before xlsx. Raises `UnreadableDocument`: `not_a_xls`, `encrypted`, `corrupt`."""
    if not content.startswith(_OLE_MAGIC):
        raise UnreadableDocument("not_a_xls", "the file is not an Excel workbook (.xls)")
    return _parse(BytesIO(content), "")


def _parse(source: BytesIO, title: str) -> Parsed:
    writing = Writing()
    try:
        workbook = CalamineWorkbook.from_filelike(source)
        for sheet in workbook.sheets_metadata:
            if sheet.typ == SheetTypeEnum.WorkSheet:
                _write(writing, workbook, sheet.name)
    except PasswordError as error:
        raise UnreadableDocument("encrypted", "the workbook is protected by a password") from error
    except BaseException as error:  # a panic of the library is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise UnreadableDocument("corrupt", "the workbook is damaged") from None
    return writing.parsed(title)


def _write(writing: Writing, workbook: CalamineWorkbook, name: str) -> None:
    sheet = workbook.get_sheet_by_name(name)
    if sheet.height:
        writing.heading(1, name)
        write_sheet(writing, ([_cell(value) for value in row] for row in sheet.iter_rows()))


def _cell(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime.datetime() if value.time() == datetime.time():
            return value.date().isoformat()
        case datetime.datetime():
            return value.isoformat(" ")
        case _:
            return str(value)


def _refuse_sparse(sheet: bytes) -> None:
    """Two cells far apart make the library hold all between them."""
    plain = sheet.replace(b"\0", b"")
    columns = {found[1] for found in _REFERENCE.finditer(plain)}
    widest = max(map(_column, columns), default=1)
    rows = chain((found[1] for found in _ROW.finditer(plain)), (found[2] for found in _REFERENCE.finditer(plain)))
    lowest = max(map(int, rows), default=1)
    if widest * lowest > MOST_CELLS:
        raise UnreadableDocument("too_complex", f"a sheet spans more than {MOST_CELLS} cells")


def _column(letters: bytes) -> int:
    """`A` is 1, `Z` is 26, `AA` is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _refuse_repeated_text(parts: Parts) -> None:
    """A long text that a million cells show is a bomb that no archive's size gives away."""
    lengths = list(_lengths(parts.get("xl/sharedStrings.xml", b"")))
    shown = 0
    for name, part in parts.items() if lengths else ():
        if name.startswith("xl/worksheets/"):
            places = (int(found[1]) for found in _SHOWN.finditer(part.replace(b"\0", b"")))
            shown += sum(lengths[place] for place in places if place < len(lengths))
    if shown > MOST_TEXT:
        raise UnreadableDocument("too_complex", f"its cells show more than {MOST_TEXT} bytes of text")


def _lengths(shared: bytes) -> Iterator[int]:
    plain = shared.replace(b"\0", b"")
    starts = [found.start() for found in _SHARED.finditer(plain)]
    return (after - start for start, after in pairwise([*starts, len(plain)]))
