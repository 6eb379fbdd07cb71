"""XML of any kind: elements are names, what mixes text and elements is a text."""

from itertools import groupby

from lxml import etree

from ingest.parsing.keyed import Members, Node, write_keyed
from ingest.parsing.markup import local_name, text_of, xml_tree
from ingest.parsing.parsed import Parsed
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<", b"<\0", b"\0<")


def parse_xml(content: bytes) -> Parsed:
    """Values with their paths. Raises `UnreadableDocument`: `not_a_xml`, `xml_entities`, `corrupt`, `too_complex`."""
    if not content.lstrip().startswith(_STARTS):
        raise UnreadableDocument("not_a_xml", "the file does not begin as XML does")
    root = xml_tree(content.strip())
    writing = Writing()
    write_keyed(writing, Members(((local_name(root), _node(root)),)))
    return writing.parsed("")


def _node(element: etree._Element) -> Node:
    """Attributes and elements by name; neighbours of one name are a list."""
    attributes = [(etree.QName(name).localname, str(value)) for name, value in element.attrib.items()]
    children = list(element.iterchildren(etree.Element))
    text = text_of(element) if not children or _is_mixed(element) else ""
    if text and not attributes:
        return text
    members: list[tuple[str, Node]] = [*attributes, *([("text", text)] if text else [])]
    if text:
        return Members(tuple(members))
    for name, group in groupby(children, key=local_name):
        nodes = [_node(child) for child in group]
        members.append((name, nodes if len(nodes) > 1 else nodes[0]))
    return Members(tuple(members))


def _is_mixed(element: etree._Element) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
