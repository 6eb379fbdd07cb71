"""From an HTML tree to Markdown whose text reads clean: no links, emphasis, escapes or images."""

import re
from collections.abc import Set as AbstractSet

from bs4 import Comment, Tag
from markdownify import ATX, MarkdownConverter

from ingest.parsing.encoding import storable
from retrieval.errors import UnreadableDocument

DEEPEST = 150  # the converter recurses three frames per level and Python allows 1000

_INLINE_MARKS = ["a", "b", "code", "del", "em", "i", "img", "kbd", "s", "samp", "strong", "sub", "sup", "video"]
_PLAIN_CONTAINERS = [
    *("main", "header", "footer", "figure", "figcaption", "details", "summary", "address", "center", "fieldset"),
    *("legend", "hgroup", "body", "form", "dialog", "caption"),
]
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_NO_SECTIONS = frozenset({"li", "td", "th", "dd", "dt", "blockquote"})
_NO_SECTION_CLASSES = frozenset({"note", "tip", "warning", "caution", "important", "admonition"})
_STRUCTURE_IN_CELL = ["pre", "ul", "ol", "li", "blockquote"]
_LONGEST_NUMBER = 9  # digits
_WIDEST_CELL = 100  # columns
_ODD_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_BLANK_LINES = re.compile(r"(?<![ \t])[ \t]+\n|\n{3,}")
# At the start of a text these would make a heading or, worse, open a fence that swallows the rest.
_MISREAD = re.compile(r"^(\s*)(?=#{1,6}\s|`{3}|~{3})")


class _CleanConverter(MarkdownConverter):
    """markdownify with fences that hold any code, definition lists as plain text, and cells on one line."""

    def escape(self, text: str, parent_tags: AbstractSet[str]) -> str:
        return text if "_noformat" in parent_tags else _MISREAD.sub(r"\1\\", text)

    def convert_pre(self, _el: Tag, text: str, parent_tags: AbstractSet[str]) -> str:
        code = text.strip("\n").rstrip()
        if not code:
            return ""
        if "_inline" in parent_tags:
            return f" {code} "
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        return f"\n\n{fence}\n{code}\n{fence}\n\n"

    def convert_dt(self, _el: Tag, text: str, parent_tags: AbstractSet[str]) -> str:
        term = " ".join(text.split())
        return f" {term} " if "_inline" in parent_tags else f"\n\n{term}\n" if term else ""

    def convert_dd(self, _el: Tag, text: str, parent_tags: AbstractSet[str]) -> str:
        meaning = text.strip()
        return f" {meaning} " if "_inline" in parent_tags else f"\n{meaning}\n\n" if meaning else ""

    def convert_li(self, el: Tag, text: str, parent_tags: AbstractSet[str]) -> str:  # noqa: ARG002 - called by name
        if not text.strip():
            return "\n"
        in_order = el.parent is not None and el.parent.name == "ol"
        bullet = f"{el.get('value')}. " if in_order else "- "
        first, *others = text.strip().split("\n")
        indented = (" " * len(bullet) + line if line else "" for line in others)
        return "\n".join([bullet + first, *indented]) + "\n"

    def convert_td(self, el: Tag, text: str, parent_tags: AbstractSet[str]) -> str:  # noqa: ARG002 - called by name
        # Empty cells for the columns a wide one takes keep rows and header in step.
        width = max(1, min(_WIDEST_CELL, _number(el, "colspan", 1)))
        return f" {' '.join(text.split())}" + " |" * width

    convert_th = convert_td

    def convert_hr(self, _el: Tag, _text: str, parent_tags: AbstractSet[str]) -> str:
        return " " if "_inline" in parent_tags else "\n\n"


def render(root: Tag) -> str:
    """The Markdown of a tree, storable. The tree is used up. Raises `UnreadableDocument` (`too_complex`)."""
    _refuse_deep(root)
    _simplify(root)
    converter = _CleanConverter(
        heading_style=ATX,
        strip=_INLINE_MARKS,
        table_infer_header=True,
        wrap=True,  # with no width: a paragraph is one line, whatever the source's line breaks
        wrap_width=None,
    )
    text = storable(converter.convert_soup(root))
    text = _INVISIBLE.sub("", _ODD_SPACES.sub(" ", text))
    return _BLANK_LINES.sub(lambda found: "\n" if found[0][0] != "\n" else "\n\n", text).strip()


def _refuse_deep(root: Tag) -> None:
    level: list[Tag] = [root]
    for _ in range(DEEPEST):
        level = [child for tag in level for child in tag.children if isinstance(child, Tag)]
        if not level:
            return
    raise UnreadableDocument("too_complex", f"elements are nested more than {DEEPEST} deep")


def _simplify(root: Tag) -> None:
    """Reduce the tree to what Markdown can say."""
    for comment in root.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for table in root.find_all("table"):
        if table.find("table") or table.get("role") in {"presentation", "none"}:
            _unfold_layout(table)
    for container in root.find_all(_PLAIN_CONTAINERS):
        container.name = "div"
    for heading in root.find_all(_HEADINGS):
        _settle_heading(heading)
    _flatten_cells(root)
    for numbered in root.find_all("ol"):
        _number_items(numbered)


def _settle_heading(heading: Tag) -> None:
    if not heading.get_text(strip=True):
        heading.decompose()
    elif heading.find_parent(_is_no_section):
        heading.name = "p"


def _is_no_section(tag: Tag) -> bool:
    """Whether headings in this element head no section of the page, but the element."""
    classes = tag.get_attribute_list("class")
    return tag.name in _NO_SECTIONS or any(name in _NO_SECTION_CLASSES for name in classes)


def _unfold_layout(table: Tag) -> None:
    for part in table.find_all(["tbody", "thead", "tfoot", "tr", "td", "th", "colgroup", "col"]):
        if part.find_parent("table") is table:
            part.name = "div"
    table.name = "div"


def _flatten_cells(root: Tag) -> None:
    for part in root.find_all(_STRUCTURE_IN_CELL):
        if part.find_parent(["td", "th"]):
            part.name = "div"


def _number_items(numbered: Tag) -> None:
    number = _number(numbered, "start", 1)
    for item in numbered.find_all("li", recursive=False):
        number = _number(item, "value", number)
        item["value"] = str(number)
        number += 1


def _number(tag: Tag, attribute: str, default: int) -> int:
    written = str(tag.get(attribute, ""))
    return int(written) if written.isdecimal() and len(written) < _LONGEST_NUMBER else default
