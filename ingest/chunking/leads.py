"""What the part of a table or a list goes on from: a row without its header says little."""

import re
from collections.abc import Iterable, Iterator

_DELIMITER = re.compile(r"[\s|:]*-[\s|:-]*")
_LONGEST = 300  # characters of each: a lead is a reminder
_ELLIPSIS = "…"

Item = tuple[int, int, int]
"""A list item: its start, the end of its marker, its end."""


def lead_in(before: str) -> str:
    """The sentence that announces what follows this text; "" where it does not end with a colon."""
    if not before.endswith(":"):
        return ""
    tail = before[-2 * _LONGEST :]
    begins = max((found.end() for found in re.finditer(r"[.!?]\s|\n[ \t]*\n", tail)), default=0)
    return _reminder(tail[begins:])


def table_header(table: str) -> str:
    """The first row of a table in Markdown; "" where it has no header, or an empty one."""
    first, _, rows = table.partition("\n")
    is_headed = _DELIMITER.fullmatch(rows.partition("\n")[0]) and any(map(str.isalnum, first))
    return _reminder(first) if is_headed else ""


def item_leads(text: str, items: Iterable[Item], announced: str) -> Iterator[str]:
    """For each item of a list what it stands under: the list's lead-in, and the items that it is nested in."""
    above: list[tuple[int, str]] = []
    for start, marked, end in items:
        said = text[start:end]
        depth = len(said) - len(said.lstrip(" \t"))
        while above and above[-1][0] >= depth:
            above.pop()
        yield " ".join(filter(None, (announced, *(words for _, words in above))))
        above.append((depth, _reminder(text[marked:end])))


def _reminder(words: str) -> str:
    """On one line, of a long one the beginning."""
    line = " ".join(words[: 2 * _LONGEST].split())
    return line if len(line) <= _LONGEST else line[:_LONGEST].rsplit(" ", 1)[0] + _ELLIPSIS
