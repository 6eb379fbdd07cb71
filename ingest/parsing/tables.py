"""Rows to text: a Markdown table, or where the header is too wide to go along with each chunk, a list per row."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from ingest.parsing.writing import LONGEST_TEXT, Writing
from retrieval.errors import UnreadableDocument

MOST_COLUMNS = 16_384  # as many as Excel has
_WIDEST_HEADER = 400  # characters: what can stand above each part of a divided table
_CAPTIONS_WITHIN = 20  # rows from the top in which a title may stand above the header

Row = Sequence[str]


def write_table(writing: Writing, rows: Iterable[Row]) -> None:
    """The first row that is not empty is the header. Empty rows are left out.

    Raises `UnreadableDocument`: `too_complex` for too many columns, `too_large` for too much text.
    """
    filled = (cells for cells in map(_clean, rows) if any(cells))
    header = next(filled, None)
    if header is None:
        return
    if sum(len(name) + 3 for name in header) <= _WIDEST_HEADER:
        writing.lines("table", _bounded(_markdown(header, filled)))
    else:
        for row in filled:
            writing.lines("list", _record(header, row))


def write_sheet(writing: Writing, rows: Iterable[Row]) -> None:
    """A table as people lay it out in a spreadsheet: rows of a single cell above the header are its caption."""
    rows = (row for row in rows if any(cell.strip() for cell in row))
    top = list(islice(rows, _CAPTIONS_WITHIN))
    filled = [sum(bool(cell.strip()) for cell in row) for row in top]
    captions = next((index for index, count in enumerate(filled) if count > 1), 0)
    for row in top[:captions]:
        writing.paragraph("".join(row).strip())
    write_table(writing, chain(top[captions:], rows))


def _clean(row: Row) -> list[str]:
    """Each cell on one line, with the bar that would end it escaped; without the empty cells at the row's end."""
    if len(row) > MOST_COLUMNS:
        raise UnreadableDocument("too_complex", f"a row has more than {MOST_COLUMNS} columns")
    cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _markdown(header: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield _line(header)
    yield _line(["---"] * len(header))
    yield from map(_line, rows)


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _record(header: Row, row: Row) -> Iterator[str]:
    for index, cell in enumerate(row):
        name = header[index] if index < len(header) and header[index] else f"column {index + 1}"
        if cell:
            yield f"- {name}: {cell}"


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """The lines, until they are more than any document may hold."""
    length = 0
    for line in lines:
        length += len(line) + 1
        if length > LONGEST_TEXT:
            raise UnreadableDocument("too_large", f"its text is longer than {LONGEST_TEXT} characters")
        yield line
