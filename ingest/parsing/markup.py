"""XML trees of which nothing is expanded, fetched or executed."""

from lxml import etree

from retrieval.errors import UnreadableDocument

_LIMITS = ("Excessive depth", "Resource limit")


def xml_tree(content: bytes) -> etree._Element:
    """The root element. Raises `UnreadableDocument`: `xml_entities`, `corrupt` or `too_complex`."""
    # Without NULs, so that UTF-16 hides nothing.
    if b"<!ENTITY" in content.replace(b"\0", b""):
        raise UnreadableDocument("xml_entities", "the XML declares entities")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        if str(error).startswith(_LIMITS):
            raise UnreadableDocument("too_complex", "elements are nested too deeply, or a text is too long") from error
        raise UnreadableDocument("corrupt", f"the XML is damaged in line {error.lineno}") from error


def local_name(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return str(etree.QName(element).localname)


def text_of(element: etree._Element) -> str:
    """All text inside, on one line."""
    return " ".join("".join(element.itertext()).split())
