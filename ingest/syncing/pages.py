"""What a crawler reads of what a server sent: the links of a page, the addresses of a sitemap."""

import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from lxml import etree

from ingest.parsing import SUPPORTED_EXTENSIONS, extension_of
from ingest.syncing.addresses import canonical

_MOST_READ = 5 * 1024 * 1024
"""Bytes of a page in which links are looked for."""
_MOST_UNPACKED = 64 * 1024 * 1024
_MOST_LINKS = 2000
_LONGEST_NAME = 60  # characters, of which each may be four bytes
_GZIP = b"\x1f\x8b"
_HTML = frozenset({"text/html", "application/xhtml+xml"})


class BadSitemap(Exception):
    """It is no sitemap, or too large a one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where a page leads, and the address that it calls its own, if it does."""

    out: tuple[str, ...]
    own: str | None


def links(url: str, body: bytes) -> Links:
    """The links of an HTML page, each once."""
    parser = etree.HTMLPullParser(events=("start",), tag=("a", "link", "base"), no_network=True)
    base, out, own = url, dict[str, None](), None
    with suppress(etree.XMLSyntaxError):  # what was read until then holds
        parser.feed(body[:_MOST_READ])
    for _, element in parser.read_events():
        found = canonical(base, element.get("href") or "")
        if element.get("href") is None or found is None:
            continue
        if element.tag == "base":
            base = found
        elif element.tag == "a":
            out[found] = None
        elif "canonical" in (element.get("rel") or "").lower().split():
            own = own or found
    return Links(out=tuple(out)[:_MOST_LINKS], own=own)


def sitemap(url: str, body: bytes, most: int) -> tuple[list[str], list[str]]:
    """The pages and further sitemaps that a sitemap names, packed or not, XML or lines. Raises `BadSitemap`."""
    text = _unpacked(body)
    if not text.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        return [found for line in text.decode(errors="replace").split() if (found := canonical(url, line))][:most], []
    parser = etree.XMLPullParser(events=("end",), resolve_entities=False, no_network=True, load_dtd=False)
    places: dict[str, list[str]] = {"url": [], "sitemap": []}
    try:
        parser.feed(text)
        parser.close()
        for _, element in parser.read_events():
            _enter(places, url, element, most)
    except etree.XMLSyntaxError as error:
        raise BadSitemap(f"{url} is not XML") from error
    return places["url"], places["sitemap"]


def is_html(content_type: str) -> bool:
    """Whether a page of this type has links."""
    return _type(content_type) in _HTML


def file_name(url: str, content_type: str) -> str | None:
    """A name for what stands at the URL, whose extension says how to read it. None for what cannot be read."""
    last = PurePosixPath(unquote(urlsplit(url).path)).name[-_LONGEST_NAME:] or "index"
    name = "".join(character if character.isprintable() else "_" for character in last)
    extension = PurePosixPath(name).suffix.lower()
    wanted = extension_of(content_type)
    if wanted is None:
        return name if extension in SUPPORTED_EXTENSIONS else None
    kin = {".html": {".htm", ".xhtml"}, ".txt": {".text", ".md", ".markdown"}, ".md": {".markdown"}}.get(wanted, set())
    return name if extension in {wanted, *kin} else f"{name}{wanted}"


def _type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(_GZIP):
        return body
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(body, _MOST_UNPACKED)
    except zlib.error as error:
        raise BadSitemap("the sitemap cannot be unpacked") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise BadSitemap("the sitemap is cut off, or too large when unpacked")
    return text


def _enter(places: dict[str, list[str]], url: str, element: etree._Element, most: int) -> None:
    parent = element.getparent()
    if etree.QName(element).localname != "loc" or parent is None:
        return
    kind = etree.QName(parent).localname
    found = canonical(url, element.text or "")
    if kind in places and found is not None and len(places[kind]) < most:
        places[kind].append(found)
