"""Code without a grammar, and settings files: cut at blank lines, under the lines that name a part."""

import re
from collections.abc import Iterator

from ingest.domain import Block
from ingest.parsing.encoding import decode
from ingest.parsing.parsed import Parsed

SECTION = re.compile(r"^\[+([^\]\n]{1,200})\]+[^\n]{0,200}$", re.MULTILINE)  # TOML, INI
TOP_KEY = re.compile(r"^([\w\"'./-]{1,100})[ \t]*:", re.MULTILINE)  # YAML
STATEMENT = re.compile(r"^((?:create|alter)[ \t]+[^\n(;]{1,200})", re.MULTILINE | re.IGNORECASE)  # SQL
NOTHING = re.compile(r"(?!)")


def parse_stanzas(content: bytes, heading: re.Pattern[str]) -> Parsed:
    """The decoded file as it is; what `heading` finds is a heading, named by its group. Raises as `decode`."""
    text = decode(content)
    blocks: list[Block] = []
    covered = 0
    for found in heading.finditer(text):
        blocks += stanzas(text, covered, found.start())
        name = " ".join(found[1].split())
        blocks.append(Block(kind="heading", start=found.start(), end=found.end(), level=1, name=name))
        covered = found.end()
    return Parsed(text=text, blocks=(*blocks, *stanzas(text, covered, len(text))), title="")


def stanzas(text: str, start: int, end: int) -> Iterator[Block]:
    """Blocks of code between blank lines; a line that is indented still belongs to what stands above it."""
    first = last = start
    for line in _lines(text, start, end):
        if not text[slice(*line)].strip():
            continue
        begins_anew = last < line[0] - 1 and not text[line[0]].isspace()
        if begins_anew:
            yield from _block(text, first, last)
            first = line[0]
        last = line[1]
    yield from _block(text, first, last)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        found = text.find("\n", start, end)
        stop = end if found < 0 else found
        yield start, stop
        start = stop + 1


def _block(text: str, start: int, end: int) -> Iterator[Block]:
    part = text[start:end]
    if part.strip():
        yield Block(kind="code", start=start + len(part) - len(part.lstrip()), end=start + len(part.rstrip()))
