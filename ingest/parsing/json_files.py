"""JSON documents and JSON lines."""

import json

from ingest.parsing.encoding import decode
from ingest.parsing.keyed import Members, Node, write_keyed
from ingest.parsing.parsed import Parsed
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument


def parse_json(content: bytes) -> Parsed:
    """Values with their paths; names that repeat are all kept, numbers stay as written.

    Raises `UnreadableDocument`: `corrupt`, naming the place, `too_complex` or `binary`.
    """
    return _written(_node(decode(content), 0))


def parse_jsonl(content: bytes) -> Parsed:
    """A record per line, as `parse_json` has it."""
    # Not splitlines(): U+2028 and its like may stand in a JSON string.
    lines = enumerate(decode(content).split("\n"))
    return _written([_node(line, number) for number, line in lines if line.strip()])


def _written(node: Node) -> Parsed:
    writing = Writing()
    write_keyed(writing, node)
    return writing.parsed("")


def _node(text: str, lines_before: int) -> Node:
    try:
        node: Node = json.loads(text, object_pairs_hook=_members, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        line = lines_before + error.lineno
        raise UnreadableDocument("corrupt", f"not JSON: {error.msg}, line {line} column {error.colno}") from error
    return node


def _members(pairs: list[tuple[str, Node]]) -> Members:
    return Members(tuple(pairs))
