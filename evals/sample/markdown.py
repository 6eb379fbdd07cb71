"""Markdown source to the blocks that the sample corpus is rendered from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style."""

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the document's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of styled text."""

    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ListItem:
    """The text of one list item; ``number`` is None in a bulleted list."""

    depth: int
    number: int | None
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Table:
    """A table; the first row holds the column headings."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Code:
    """A block of preformatted lines."""

    text: str


Block = Heading | Paragraph | ListItem | Table | Code


class UnsupportedMarkdownError(ValueError):
    """A source uses a Markdown construct that the renderers do not handle."""


def parse_markdown(source: str) -> list[Block]:
    """Return the blocks of a Markdown text in reading order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    return list(_blocks(SyntaxTreeNode(tokens)))


def first_heading(blocks: Sequence[Block]) -> str:
    """Return the text of the first heading, the document's title; empty where there is none."""
    return next((block.text for block in blocks if isinstance(block, Heading)), "")


def _blocks(parent: SyntaxTreeNode) -> Iterator[Block]:
    for node in parent.children:
        yield from _block(node)


def _block(node: SyntaxTreeNode) -> Iterator[Block]:
    match node.type:
        case "heading":
            yield Heading(int(node.tag[1:]), _plain(_spans(node)))
        case "paragraph":
            yield Paragraph(_spans(node))
        case "bullet_list" | "ordered_list":
            yield from _list_items(node, depth=0)
        case "table":
            yield Table(tuple(_row(row) for part in node.children for row in part.children))
        case "fence" | "code_block":
            yield Code(node.content.rstrip("\n"))
        case "blockquote":
            yield from _blocks(node)
        case "hr":
            return
        case unknown:
            raise UnsupportedMarkdownError(f"cannot render Markdown block {unknown!r}")


def _list_items(node: SyntaxTreeNode, depth: int) -> Iterator[Block]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        for child in item.children:
            if child.type == "paragraph":
                yield ListItem(depth, number if node.type == "ordered_list" else None, _spans(child))
            elif child.type in ("bullet_list", "ordered_list"):
                yield from _list_items(child, depth + 1)
            else:
                yield from _block(child)


def _row(row: SyntaxTreeNode) -> tuple[str, ...]:
    return tuple(_plain(_spans(cell)) for cell in row.children)


def _spans(node: SyntaxTreeNode) -> tuple[Span, ...]:
    """Return the styled text of a node whose only child is inline content."""
    spans: list[Span] = []
    style = Span("")
    for inline in node.children:
        for token in inline.to_tokens()[0].children or []:
            style = _restyled(style, token)
            if token.type in ("softbreak", "hardbreak"):
                spans.append(replace(style, text=" "))
            elif token.content:
                spans.append(replace(style, text=token.content, code=token.type == "code_inline"))
    return tuple(spans)


def _restyled(style: Span, token: Token) -> Span:
    if token.tag == "strong":
        return replace(style, bold=token.nesting > 0)
    if token.tag == "em":
        return replace(style, italic=token.nesting > 0)
    return style


def _plain(spans: Sequence[Span]) -> str:
    return "".join(span.text for span in spans)
