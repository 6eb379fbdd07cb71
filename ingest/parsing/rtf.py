"""Rich text: what it says, without how it looks."""

from itertools import groupby

from striprtf.striprtf import rtf_to_text

from ingest.parsing.parsed import Parsed
from ingest.parsing.plain import parse_plain
from ingest.parsing.tables import write_table
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

_CELL_END = "|"  # the library's


def parse_rtf(content: bytes) -> Parsed:
    """Paragraphs and tables. Raises `UnreadableDocument`: `not_a_rtf` or `corrupt`."""
    if not content.lstrip().startswith(b"{\\rtf"):
        raise UnreadableDocument("not_a_rtf", "the file does not begin as rich text does")
    if content.rstrip(b"\0 \t\r\n")[-1:] != b"}":
        raise UnreadableDocument("corrupt", "the rich text is cut short")
    # All of it is ASCII by rule; what breaks the rule is the legacy encoding of Windows.
    text = str(rtf_to_text(content.decode("cp1252", errors="replace"), encoding="cp1252", errors="replace"))
    writing = Writing()
    for is_table, lines in groupby(_paired(text).split("\n"), key=lambda line: line.rstrip().endswith(_CELL_END)):
        if is_table:
            write_table(writing, (line.rstrip().removesuffix(_CELL_END).split(_CELL_END) for line in lines))
        else:
            # Each line was a paragraph.
            writing.include(parse_plain("\n\n".join(filter(str.strip, lines)).encode()))
    return writing.parsed("")


def _paired(text: str) -> str:
    """With the two halves of a character beyond 16 bits made one; a lone half is U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
