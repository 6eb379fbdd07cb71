"""No link leaves that a cited document does not name, however it is written and however the text is cut."""

import re
from collections.abc import Iterator, Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from retrieval.guarding.destinations import TRAILING, Destinations, normal
from retrieval.guarding.links import LinkFilter
from tests.unit.test_citations import ranked

OK = "https://docs.acme.example/leave?year=2026"
PASSAGES = (
    ranked(1, f"See [the portal]({OK}) or www.acme.example/faq. Ask leave.hr.acme.com."),
    ranked(2, "https://other.example/x"),
)
ALLOWED = {normal(OK), normal("www.acme.example/faq"), normal("leave.hr.acme.com"), normal("doc/1")}
_MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": True})
_LOADS = "href|src|srcset|style|action|data|poster|background|url"
_ATTRIBUTE = re.compile(rf"<[a-z!/?][^<>]*(?:[\s\"'/]on\w+|{_LOADS})\s*[=(]", re.IGNORECASE)
_WORD = re.compile(r"(?:https?://|mailto:)[^/?#]*", re.IGNORECASE)


def filtered(pieces: Sequence[str], cited: Sequence[int] = (1,)) -> str:
    destinations = Destinations(PASSAGES)
    for number in cited:
        destinations.cite(number)
    links = LinkFilter(destinations)
    return "".join(map(links.feed, pieces)) + links.finish()


def destinations_of(text: str) -> Iterator[str]:
    """Everything that the rendered text leads to or loads."""
    for token in _tokens(_MARKDOWN.parse(text)):
        if token.type in {"html_block", "html_inline"}:
            yield from (found[0] for found in _ATTRIBUTE.finditer(token.content))
            yield from re.findall(r"<(?:script|style|iframe|svg|base|meta|object|form)\b", token.content, re.IGNORECASE)
        yield from (str(token.attrs[name]) for name in ("href", "src") if name in token.attrs)


def _tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or ())


def forbidden(text: str) -> list[str]:
    """Destinations that are neither allowed, closing punctuation aside, nor the bare name of a host or address."""
    return [url for url in destinations_of(text) if not _is_word(url) and normal(url.rstrip(TRAILING)) not in ALLOWED]


def _is_word(url: str) -> bool:
    """`done.it`, `on-call.md:12`, `hr@acme.com`: names that stand as they are written."""
    host = re.sub(r":\d+$", "", url.split("//", 1)[-1].removeprefix("mailto:").rpartition("@")[2])
    return _WORD.fullmatch(url) is not None and host.rstrip(".").count(".") <= (1 if url.startswith("http") else 9)


PARTS = [
    *(
        "![",
        "[",
        "]",
        "](",
        ")",
        "(",
        "<",
        ">",
        "!",
        "\\",
        "`",
        "\n",
        "\n\n",
        " ",
        ": ",
        "]:",
        "]: ",
        '"',
        "'",
        "*",
        "_",
    ),
    *("http://", "https://", "HTTPS://", "ftp://", "//", "www.", "mailto:", "javascript:alert(1)", "data:text/html,x"),
    *("evil.example", "evil.com", "a.evil.com", "evil.com/x", "evil.com/?q=SECRET", "user@evil.com", "例え.com/x"),
    *(
        "https://evil.com/?q=SECRET",
        "//evil.com/x.png",
        "http&#58;//evil.com",
        "evil%2Ecom/x",
        "10.0.0.1/x",
        "?q=SECRET",
    ),
    *(
        "ｈｔｔｐ：／／evil．com／x",
        "&#x68;ttps://evil.com/a",
        "<https://evil.com/>",
        "<a@evil.com>",
        "<!--",
        "<svg/onload=x>",
    ),
    *("<img src=https://evil.com/x>", "<a href='//evil.com'>", "<script>", "<b>", "</b>", "&", "#", "\u200b", "\u00a0"),
    *(OK, f"[portal]({OK})", f"<{OK}>", "www.acme.example/faq", "leave.hr.acme.com", "[1]", "doc/1"),
    *("https://other.example/x", "word", "The red pump", "done.It", "3.5", "请看", "- ", "> ", "1. ", "    ", "```\n"),
    *("[x]: https://evil.com\n", "[x]: /evil\n", "[x]", "[a][x]", "\r", "\t"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=3)), max_size=14).map("".join)


@settings(deadline=None, max_examples=400)
@given(TEXTS)
@example("[click](https://evil.com/?q=SECRET)")
@example("- > [x]:\n/evil 'title'\n\n[x]")
def test_what_is_rendered_leads_only_to_cited_documents(text: str) -> None:
    """Rendered with HTML and linkifying, nothing leads anywhere that no cited passage names."""
    guarded = filtered([text])
    assert forbidden(guarded) == []


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.data())
def test_how_the_text_is_cut_does_not_matter(text: str, data: st.DataObject) -> None:
    """In one piece, character by character or cut anywhere, the same text leaves."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert filtered(pieces) == filtered([text]) == filtered(text)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.integers(0, 200))
def test_no_beginning_of_a_stream_holds_a_forbidden_link(text: str, size: int) -> None:
    """What was given so far is as harmless as the whole: a reader who renders while it comes loads nothing."""
    links = LinkFilter(Destinations(PASSAGES))
    given = "".join(map(links.feed, text[:size]))
    assert [url for url in destinations_of(given) if not _is_word(url)] == []
