"""Source code: the stored text is the file's, cut where its syntax has definitions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

import tree_sitter_bash
import tree_sitter_c
import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Tree

from ingest.domain import Block, BlockKind
from ingest.parsing.encoding import decode
from ingest.parsing.parsed import Parsed
from ingest.parsing.stanzas import stanzas

LARGEST_PARSED = 300_000  # bytes; more was written by a program, and is cut by its blank lines
_STEPS, _BYTES_A_STEP = 200, 100  # honest code takes a step for 200 bytes and more
_READ = 65_536
_DEEPEST = 5  # definitions inside definitions
_LONGEST_NAME = 120  # characters
_LONGEST_RUN = 1500  # characters of statements that stay together
_GRAMMARS: dict[str, Callable[[], object]] = {
    **dict.fromkeys((".py", ".pyi"), tree_sitter_python.language),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), tree_sitter_javascript.language),
    **dict.fromkeys((".ts", ".mts", ".cts"), tree_sitter_typescript.language_typescript),
    ".tsx": tree_sitter_typescript.language_tsx,
    ".java": tree_sitter_java.language,
    ".go": tree_sitter_go.language,
    ".rs": tree_sitter_rust.language,
    **dict.fromkeys((".c", ".h"), tree_sitter_c.language),
    **dict.fromkeys((".cpp", ".cc", ".cxx", ".hpp", ".hh"), tree_sitter_cpp.language),
    **dict.fromkeys((".sh", ".bash"), tree_sitter_bash.language),
}
_DEFINITIONS = frozenset(
    {
        *("function_definition", "function_declaration", "generator_function_declaration", "function_item"),
        *("method_definition", "method_declaration", "constructor_declaration", "macro_definition", "type_spec"),
        *("type_alias_declaration", "type_item"),
    }
)
_HOLDERS = frozenset(  # definitions that hold others
    {
        *("class_definition", "class_declaration", "abstract_class_declaration", "interface_declaration"),
        *("enum_declaration", "record_declaration", "annotation_type_declaration", "internal_module"),
        *("struct_specifier", "class_specifier", "union_specifier", "namespace_definition"),
        *("impl_item", "trait_item", "struct_item", "enum_item", "mod_item"),
    }
)
_WRAPPERS = frozenset(  # what stands around one definition
    {
        *("decorated_definition", "export_statement", "ambient_declaration", "template_declaration"),
        *("type_declaration", "lexical_declaration", "expression_statement"),
    }
)
_SEEN_THROUGH = frozenset(  # what stands around many
    {"preproc_ifdef", "preproc_if", "preproc_else", "linkage_specification", "declaration_list", "ERROR"}
)
_ASSIGNED = frozenset({"arrow_function", "function_expression", "generator_function", "class"})
_ABOVE = frozenset({"comment", "line_comment", "block_comment", "attribute_item"})


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of the source: statements, or where `level` is not 0 the head of a definition."""

    start: int
    end: int
    level: int = 0
    name: str = ""


def parse_code(content: bytes, extension: str) -> Parsed:
    """The decoded file as it is. Definitions are headings, called by their names; a comment above belongs to them.

    Raises `UnreadableDocument` (`binary`).
    """
    text = decode(content)
    source = text.encode()
    tree = _tree(source, extension) if len(source) <= LARGEST_PARSED else None
    if tree is None:
        return Parsed(text=text, blocks=tuple(stanzas(text, 0, len(text))), title="")
    return Parsed(text=text, blocks=tuple(_blocks(text, source, list(_spans(tree.root_node, 1)))), title="")


def _tree(source: bytes, extension: str) -> Tree | None:
    """The syntax; None where the parser takes many more steps than code needs: what is no code can take them all."""
    most = _STEPS + len(source) // _BYTES_A_STEP
    steps = count()
    try:
        # Not the bytes themselves: only a reader is asked whether to go on.
        return Parser(Language(_GRAMMARS[extension]())).parse(
            lambda offset, _: source[offset : offset + _READ], progress_callback=lambda *_: next(steps) > most
        )
    except ValueError:
        return None


def _spans(parent: Node, level: int) -> Iterator[_Span]:
    """What stands under a node, in order. Comments right above a definition are part of its head."""
    run: list[Node] = []
    for node in _children(parent):
        definition = _definition(node) if level <= _DEEPEST else None
        if definition is None:
            run.append(node)
            continue
        above = _comments_above(run, node)
        yield from _statements(run[: len(run) - len(above)])
        yield from _defined([*above, node][0].start_byte, node, definition, level)
        run = []
    yield from _statements(run)


def _children(parent: Node) -> Iterator[Node]:
    """The nodes below; one level of preprocessor conditions and the like is seen through."""
    for node in parent.children:
        if node.type in _SEEN_THROUGH and any(map(_is_defining, node.children)):
            yield from node.children
        else:
            yield node


def _is_defining(node: Node) -> bool:
    return node.type in _SEEN_THROUGH or _definition(node) is not None


def _defined(start: int, node: Node, definition: Node, level: int) -> Iterator[_Span]:
    body = _body(definition)
    end = body.start_byte if body is not None else definition.end_byte
    yield _Span(start, end, level, _name(definition))
    if body is not None and definition.type in _HOLDERS:
        yield from _spans(body, level + 1)
        end = body.end_byte
    if end < node.end_byte:
        yield _Span(end, node.end_byte)


def _definition(node: Node) -> Node | None:
    """The definition a node is, or that an export, a decorator or an assignment stands around."""
    for _ in range(_DEEPEST):
        if node.type in _DEFINITIONS | _HOLDERS:
            return node
        if node.type == "variable_declarator":
            assigned = node.child_by_field_name("value")
            return node if assigned is not None and assigned.type in _ASSIGNED else None
        inner = node.named_children if node.type in _WRAPPERS else []
        wanted = _DEFINITIONS | _HOLDERS | _WRAPPERS | {"variable_declarator"}
        found = next((child for child in inner if child.type in wanted), None)
        if found is None:
            return None
        node = found
    return None


def _body(definition: Node) -> Node | None:
    holder = definition.child_by_field_name("value") or definition
    return holder.child_by_field_name("body")


def _name(definition: Node) -> str:
    """What it is called: in C the innermost declarator is the name; an `impl` has none but its first line."""
    node = definition.child_by_field_name("name")
    inner = None if node is not None else definition.child_by_field_name("declarator")
    while inner is not None:
        node, inner = inner, inner.child_by_field_name("declarator")
    body = _body(definition)
    whole = definition.text or b""
    head = whole[: body.start_byte - definition.start_byte] if body is not None else whole
    written = (node.text or b"") if node is not None else head
    return " ".join(written[: 4 * _LONGEST_NAME].decode(errors="ignore").split())[:_LONGEST_NAME]


def _comments_above(run: Sequence[Node], node: Node) -> list[Node]:
    """Those that end in the line before what follows them."""
    above: list[Node] = []
    for comment in reversed(run):
        if comment.type not in _ABOVE or node.start_point.row - comment.end_point.row > 1:
            break
        above.insert(0, comment)
        node = comment
    return above


def _statements(run: Sequence[Node]) -> Iterator[_Span]:
    """Neighbours together, as long as they are short."""
    if not run:
        return
    start, end = run[0].start_byte, run[0].end_byte
    for node in run[1:]:
        if node.end_byte - start > _LONGEST_RUN:
            yield _Span(start, end)
            start = node.start_byte
        end = node.end_byte
    yield _Span(start, end)


def _blocks(text: str, source: bytes, spans: Sequence[_Span]) -> Iterator[Block]:
    places = _places(source, {place for span in spans for place in (span.start, span.end)})
    for span in spans:
        start, end = places[span.start], places[span.end]
        part = text[start:end]
        if part.strip():
            start += len(part) - len(part.lstrip())
            end -= len(part) - len(part.rstrip())
            kind: BlockKind = "heading" if span.level else "code"
            yield Block(kind=kind, start=start, end=end, level=span.level, name=span.name)


def _places(source: bytes, offsets: set[int]) -> dict[int, int]:
    """Bytes to characters."""
    if source.isascii():
        return {offset: offset for offset in offsets}
    places, count = {0: 0}, 0
    for before, offset in pairwise(sorted({0, *offsets})):
        count += len(source[before:offset].decode())
        places[offset] = count
    return places
