"""Web pages: what the page is about, without what surrounds it."""

import re
import warnings

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, Tag, XMLParsedAsHTMLWarning

from ingest.parsing.encoding import decode
from ingest.parsing.markdown import find_blocks, first_title
from ingest.parsing.parsed import Parsed
from ingest.parsing.rendering import render

_NEVER_TEXT = frozenset(
    {
        *("script", "style", "template", "noscript", "iframe", "object", "svg", "canvas", "audio", "video", "map"),
        *("button", "input", "select", "textarea", "dialog"),
    }
)
_SURROUNDINGS = frozenset({"nav", "aside"})
_SURROUNDING_ROLES = frozenset({"navigation", "search", "banner", "contentinfo", "complementary"})
_SURROUNDING_CLASSES = frozenset(
    {
        *("breadcrumb", "breadcrumbs", "skip-link"),
        *("navheader", "navfooter", "toc", "indexterm"),  # DocBook
        *("related", "sphinxsidebar", "headerlink", "rst-footer-buttons", "wy-nav-side"),  # Sphinx
    }
)
_CONTENT_CLASSES = frozenset({"admonition", "footnote", "footnote-list", "topic"})  # what Sphinx calls asides
_PAGE_EDGES = ["header", "footer"]
_EDGES_BELONG_TO = ["main", "article", "section"]
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MAIN_SHARE = 0.3


def parse_html(content: bytes) -> Parsed:
    """The page's content as Markdown. Its title: the first h1, else `<title>`."""
    soup = make_soup(decode(content, declared=True))
    page_title = soup.title.get_text() if soup.title else ""
    text = render(_content_of(soup))
    return from_markdown(text, page_title)


def from_markdown(text: str, named: str) -> Parsed:
    """What generated Markdown holds; `named` is its title unless a heading of level 1 says better."""
    blocks = tuple(find_blocks(text, generated=True))
    return Parsed(text=text, blocks=blocks, title=first_title(text, blocks, generated=True) or named)


def make_soup(markup: str) -> BeautifulSoup:
    """The tree a lenient browser sees. Document types and their entities mean nothing to it."""
    with warnings.catch_warnings():
        # XHTML read as HTML, and a page that is only a file name or an address, are both what we want.
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        return BeautifulSoup(markup, "lxml")


def _content_of(soup: BeautifulSoup) -> Tag:
    for head in soup.find_all("head"):
        head.decompose()
    _drop([tag for tag in soup.find_all(True) if _is_unseen(tag)])
    _drop_forms(soup)
    _drop_page_edges(soup)
    _drop([tag for tag in soup.find_all(True) if _is_surrounding(tag)])
    return _main_of(soup)


def _is_unseen(tag: Tag) -> bool:
    return (
        tag.name in _NEVER_TEXT
        or tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
        or bool(_UNSEEN.search(str(tag.get("style", ""))))
    )


def _is_surrounding(tag: Tag) -> bool:
    classes = set(tag.get_attribute_list("class"))
    return (
        (tag.name in _SURROUNDINGS and not classes & _CONTENT_CLASSES)
        or tag.get("role") in _SURROUNDING_ROLES
        or tag.get("aria-label") == "breadcrumb"
        or not classes.isdisjoint(_SURROUNDING_CLASSES)
    )


def _drop(tags: list[Tag]) -> None:
    for tag in tags:
        if not tag.decomposed:
            tag.decompose()


def _drop_forms(soup: BeautifulSoup) -> None:
    """Some servers wrap the whole page in a form: a form that holds most of the text is no form."""
    forms = soup.find_all("form")
    half = len(soup.get_text()) / 2 if forms else 0
    _drop([form for form in forms if len(form.get_text()) < half])


def _drop_page_edges(soup: BeautifulSoup) -> None:
    """Headers and footers of the page; those of an article stay, and so does the page's only h1."""
    edges = [edge for edge in soup.find_all(_PAGE_EDGES) if not edge.find_parent(_EDGES_BELONG_TO)]
    headings = soup.find_all("h1")
    for edge in edges:
        if len(headings) == 1 and edge in headings[0].parents:
            edge.replace_with(headings[0].extract())
    _drop(edges)


def _main_of(soup: BeautifulSoup) -> Tag:
    mains: list[Tag] = [tag for tag in soup.find_all(True) if tag.name == "main" or tag.get("role") == "main"]
    if len(mains) == 1 and len(mains[0].get_text()) >= _MAIN_SHARE * len(soup.get_text()):
        return mains[0]
    return soup
