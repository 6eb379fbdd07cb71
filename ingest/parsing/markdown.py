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
_ATX = re.compile(r"\A\s{0,3}#{1,6}(?:[ \t]+|$)|[ \t]+#+[ \t]*\Z")
_SETEXT_UNDERLINE = re.compile(r"\n\s*(?:=+|-+)\s*\Z")
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
    """A heading as a reader sees it: one line, without the marks of Markdown."""
    bare = _ATX.sub("", source if generated else _SETEXT_UNDERLINE.sub("", source))
    if not generated:
        bare = "".join(_visible(_inline_parser().parseInline(bare)))
    return " ".join(bare.split())


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
        fields = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError):  # ValueError: a date such as 2025-13-45
        return ""
    title = fields.get("title") if isinstance(fields, dict) else None
    return title if isinstance(title, str) else ""
