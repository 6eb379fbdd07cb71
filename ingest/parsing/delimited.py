"""Tables as text: comma, semicolon, tab or bar between the cells."""

import csv
from collections import Counter
from io import StringIO
from itertools import islice

from ingest.parsing.encoding import decode
from ingest.parsing.parsed import Parsed
from ingest.parsing.tables import write_table
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

_DELIMITERS = ",;\t|"
_SAMPLE = 20_000  # characters from which the delimiter is told
_SAMPLE_ROWS = 50
_LONGEST_CELL = 1_000_000  # characters; a quote that is never closed makes one cell of all that follows


def parse_csv(content: bytes) -> Parsed:
    """Rows under the header, which is the first one; the delimiter is the one that cuts rows most alike.

    Raises `UnreadableDocument`: `binary`, `too_complex` or `too_large`.
    """
    text = decode(content)
    return _table(text, _delimiter(text[:_SAMPLE]))


def parse_tsv(content: bytes) -> Parsed:
    """As `parse_csv`, with tabs."""
    return _table(decode(content), "\t")


def _table(text: str, delimiter: str) -> Parsed:
    writing = Writing()
    csv.field_size_limit(_LONGEST_CELL)
    try:
        write_table(writing, csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UnreadableDocument("too_complex", f"a cell is longer than {_LONGEST_CELL} characters") from error
    return writing.parsed("")


def _delimiter(sample: str) -> str:
    """Comma, unless another one makes more rows of the same length."""
    return max(_DELIMITERS, key=lambda delimiter: _likeness(sample, delimiter))


def _likeness(sample: str, delimiter: str) -> tuple[int, int]:
    try:
        rows = islice(csv.reader(StringIO(sample, newline=""), delimiter=delimiter), _SAMPLE_ROWS)
        widths = Counter(len(row) for row in rows if len(row) > 1)
    except csv.Error:
        return (0, 0)
    width, count = widths.most_common(1)[0] if widths else (0, 0)
    return count, width
