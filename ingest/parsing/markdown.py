"""Markdown: the stored text is the file's, and the one place that finds blocks in Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.domain import Block, BlockKind
from ingest.parsing.encoding import decode
from ingest.parsing.parsed import Parsed

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_ATX = re.compile(r"\s{0,3}#{1,6}(?:[ \t]|\Z)")
_LONGEST_HEADING = 1200  # characters that are read: the time the marks of Markdown take grows with their square
_LONGEST_FRONT_MATTER = 50_000  # characters
_STRING = "tag:yaml.org,2002:str"
_MOST_BRACKETS = 32  # in a heading whose marks are read; each is searched for its end, and images recurse
_KINDS: dict[str, BlockKind] = {
    "heading_open": "heading",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "paragraph_open": "paragraph",
    "blockquote_open": "paragraph",
    "html_block": "paragraph",
}
# What only a writer of Markdown means; in text that came from HTML it is a coincidence.
_WRITERS_RULES = ["lheading", "code", "html_block", "reference", "hr"]


def parse_markdown(content: bytes) -> Parsed:
    """The decoded file as it is. Its title: the front matter's, else the first heading of level 1."""
    text = decode(content)
    front = _FRONT_MATTER.match(text)
    blocks = tuple(find_blocks(text, start=front.end() if front else 0))
    return Parsed(text=text, blocks=blocks, title=_front_title(front) or first_title(text, blocks))


def find_blocks(text: str, *, start: int = 0, generated: bool = False) -> Iterator[Block]:
    """The structural units of Markdown from `start` on, in order, without surrounding blank lines.

    `generated`: the Markdown was made from HTML, by rules that use a part of the language only.
    """
    source = text[start:]
    line_starts = [start, *(start + end for end in accumulate(len(line) + 1 for line in source.split("\n")))]
    for token in _parser(generated).parse(source):
        kind = _KINDS.get(token.type) if token.level == 0 else None
        if kind is None or token.map is None:
            continue
        first, last = line_starts[token.map[0]], min(line_starts[token.map[1]], len(text))
        end = first + len(text[first:last].rstrip())
        if end > first:
            level = int(token.tag[1:]) if kind == "heading" else 0
            yield Block(kind=kind, start=first, end=end, level=level)


def heading_text(source: str, *, generated: bool = False) -> str:
    """A heading as a reader sees it: one line, without the marks of Markdown; of a very long one, the beginning."""
    bare = _without_hashes(source if generated else without_underline(source))[:_LONGEST_HEADING]
    if not generated and bare.count("[") <= _MOST_BRACKETS:
        bare = "".join(_visible(_inline_parser().parseInline(bare)))
    return " ".join(bare.split())


def without_underline(heading: str) -> str:
    """A heading without the line of `=` or `-` below it."""
    words, newline, line = heading.rstrip().rpartition("\n")
    return words if newline and set(line.strip()) in ({"="}, {"-"}) else heading


def _without_hashes(heading: str) -> str:
    """Without the marks around it; those at its end are marks only where white space is before them."""
    opening = _ATX.match(heading)
    if opening is None:
        return heading.strip()
    bare = heading[opening.end() :].strip()
    words = bare.rstrip("#")
    return words if words[-1:] in {"", " ", "\t"} else bare


def first_title(text: str, blocks: Sequence[Block], *, generated: bool = False) -> str:
    """The text of the first heading of level 1, or ""."""
    firsts = (heading_text(text[block.start : block.end], generated=generated) for block in blocks if block.level == 1)
    return next(firsts, "")


def _visible(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.children:
            yield from _visible(token.children)
        elif token.type in {"softbreak", "hardbreak"}:
            yield " "
        elif token.type != "html_inline":
            yield token.content


@cache
def _parser(generated: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    # Blocks are all that is asked for; parsing the text inside them is most of the work.
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser.disable(_WRITERS_RULES) if generated else parser


@cache
def _inline_parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _front_title(front: re.Match[str] | None) -> str:
    if front is None:
        return ""
    try:
        # Composed only: to construct it might take aliases of aliases at their word.
        root = yaml.compose(front[1], Loader=yaml.SafeLoader) if len(front[1]) <= _LONGEST_FRONT_MATTER else None
    except (yaml.YAMLError, RecursionError):
        return ""
    fields = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value.value for key, value in fields if key.value == "title" and value.tag == _STRING), "")
