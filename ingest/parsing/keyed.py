"""Trees of names and values (JSON, XML) to text whose lines say where each value stands: `servers[0].host: db1`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeAlias

from ingest.parsing.tables import write_table
from ingest.parsing.writing import Writing

_FEW = 12  # values that stand together in one block, under no heading of their own
_LONG = 200  # characters of a value that is a paragraph, not a line
_MOST_COLUMNS = 30
_SIMPLE_NAME = re.compile(r"[^\s.\[\]\"]+")


@dataclass(frozen=True, slots=True)
class Members:
    """Names and what they stand for, in order; a name may be there twice."""

    pairs: tuple[tuple[str, "Node"], ...]


Scalar: TypeAlias = str | bool | None
Node: TypeAlias = Scalar | Members | list["Node"]


def write_keyed(writing: Writing, node: Node, path: str = "") -> None:
    """The tree: what is large under a heading of its path, rows of equal names as a table, the rest as lines."""
    rows = _rows(node)
    if rows:
        writing.heading(1, path)
        write_table(writing, rows)
    elif _is_small(node):
        _write_lines(writing, list(_values(node, path)))
    else:
        writing.heading(1, path)
        _write_parts(writing, node, path)


def _write_parts(writing: Writing, node: Node, path: str) -> None:
    """What is large is written by itself; small neighbours share their blocks."""
    for small, group in groupby(_children(node, path), key=lambda child: _is_small(child[1]) and not _rows(child[1])):
        if small:
            _write_lines(writing, [value for place, child in group for value in _values(child, place)])
        else:
            for place, child in group:
                write_keyed(writing, child, place)


def _write_lines(writing: Writing, values: Sequence[tuple[str, str]]) -> None:
    for is_long, group in groupby(values, key=lambda value: len(value[1]) > _LONG or "\n" in value[1]):
        if is_long:
            for place, text in group:
                writing.paragraph(f"{place}: {text}" if place else text)
        else:
            writing.lines("list", (f"- {place}: {text}" if place else f"- {text}" for place, text in group))


def _is_small(node: Node) -> bool:
    return len(list(islice(_values(node, ""), _FEW + 1))) <= _FEW


def _values(node: Node, path: str) -> Iterator[tuple[str, str]]:
    """Each value and its path; plain values in a list share a line."""
    if isinstance(node, list) and node and all(_is_short(item) for item in node):
        yield path, ", ".join(_text(item) for item in node if not isinstance(item, Members | list))
    elif isinstance(node, Members | list):
        for place, child in _children(node, path):
            yield from _values(child, place)
    else:
        yield path, _text(node)


def _children(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Members):
        for name, child in node.pairs:
            yield _below(path, name), child
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield f"{path}[{index}]", child


def _below(path: str, name: str) -> str:
    if not _SIMPLE_NAME.fullmatch(name):
        quoted = name.replace('"', '\\"')
        return f'{path}["{quoted}"]'
    return f"{path}.{name}" if path else name


def _rows(node: Node) -> list[list[str]]:
    """Header and rows, where the node is a list of flat members with mostly the same names; else none."""
    if not isinstance(node, list) or len(node) < 2:
        return []
    flat = [dict(item.pairs) for item in node if isinstance(item, Members) and _is_flat(item)]
    names = list(dict.fromkeys(name for row in flat for name in row)) if len(flat) == len(node) else []
    if not 1 < len(names) <= _MOST_COLUMNS or any(2 * len(row) < len(names) for row in flat):
        return []
    return [names, *([_text(row.get(name, "")) for name in names] for row in flat)]


def _is_flat(item: Members) -> bool:
    values = [value for _, value in item.pairs]
    return len({name for name, _ in item.pairs}) == len(values) and all(map(_is_short, values))


def _is_short(node: Node) -> bool:
    return not isinstance(node, Members | list) and len(_text(node)) <= _LONG


def _text(node: Node) -> str:
    match node:
        case str():
            return node
        case None:
            return "null"
        case _:
            return str(node).lower()
