"""A website is followed: by sitemap and links, politely, and without the pages that did not change."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ingest.syncing.asking import Unanswered, open_web, reach_of
from ingest.syncing.domain import Entry
from ingest.syncing.spool import Spool
from ingest.syncing.website import Website
from retrieval.errors import SourceUnavailable
from retrieval.settings import IngestSettings, OutboundSettings
from tests.fakes import WordEmbedder
from tests.syncing import documents, sync, website
from tests.web_server import Page, Site, website_server


@pytest.fixture
def site() -> Iterator[Site]:
    with website_server() as running:
        running.links("/docs/", "a.html", "/docs/sub/", "../out.html", "https://elsewhere.test/x", "mailto:ada@x.test")
        running.links("/docs/a.html", "b.html", "./a.html#top", "http://[broken")
        running.links("/docs/b.html", "/docs/")
        running.links("/docs/sub/", "deep.html")
        running.links("/docs/sub/deep.html")
        running.links("/out.html")
        yield running


FOUND = {"/docs/", "/docs/a.html", "/docs/b.html", "/docs/sub/", "/docs/sub/deep.html"}


def uris(site: Site, *paths: str) -> set[str]:
    return {site.url + path for path in paths}


def crawl(site: Site, **said: Any) -> list[Any]:
    """What is listed, without a database or a pause."""
    return paced(site, lambda _seconds: None, **said)


def paced(site: Site, pause: Callable[[float], None], **said: Any) -> list[Any]:
    reach = reach_of(site.url, OutboundSettings(), allow_private=True)
    with open_web(reach, 5, 100_000) as web, TemporaryDirectory() as folder:
        declared = website(f"{site.url}/docs/", **said)
        return list(Website(declared, web, Spool(Path(folder), 100_000), pause).entries({}, frozenset()))


def test_a_site_is_read_once(dsn: str, site: Site, words: WordEmbedder) -> None:
    """All pages below the url and no others; a second run gets no body of a page, and writes nothing of them."""
    source = website(f"{site.url}/docs/", rules=({"match": "docs/sub/", "allow": ("group:deep",)},))
    report = sync(dsn, words, source)
    assert (set(report.indexed), report.problems, report.failures) == (uris(site, *FOUND), (), ())
    assert documents(dsn)[f"{site.url}/docs/sub/deep.html"] == documents(dsn)[f"{site.url}/docs/sub/"] == ["group:deep"]
    assert "/out.html" not in site.asked
    site.given.clear()
    words.embedded.clear()
    second = sync(dsn, words, source)
    assert (second.found, second.unchanged, second.fetched) == (5, 5, 0)
    assert (site.given, words.embedded) == (["/robots.txt"], [])


def test_a_changed_page_is_read_and_a_lost_one_goes(dsn: str, site: Site, words: WordEmbedder) -> None:
    """A page that nothing links to any more, or that is gone, is removed; its neighbours need no body."""
    source = website(f"{site.url}/docs/")
    sync(dsn, words, source)
    site.links("/docs/a.html", text="The pumps are red now.")
    del site.pages["/docs/sub/deep.html"]
    site.given.clear()
    report = sync(dsn, words, source)
    assert report.indexed == (f"{site.url}/docs/a.html",)
    assert set(report.removed) == uris(site, "/docs/b.html", "/docs/sub/deep.html")
    assert set(site.given) == {"/robots.txt", "/docs/a.html", "/docs/sub/deep.html"}


def test_without_validators_the_hash_decides(dsn: str, site: Site, words: WordEmbedder) -> None:
    """A server that knows no conditional requests is read again, but nothing is embedded."""
    for page in site.pages.values():
        page.validators = False
    sync(dsn, words, website(f"{site.url}/docs/"))
    words.embedded.clear()
    report = sync(dsn, words, website(f"{site.url}/docs/"))
    assert (report.unchanged, report.fetched, words.embedded) == (5, 0, [])


@pytest.mark.parametrize(
    "fault",
    [
        Page(status=500),
        Page(status=503),
        Page(status=429),
        Page("half of a page", headers={"content-length": "9999"}),
        Page(b"\x1f\x8bnonsense", headers={"content-encoding": "gzip"}),
    ],
    ids=["500", "503", "429", "truncated", "broken gzip"],
)
def test_a_crawl_that_fails_half_way_removes_nothing(dsn: str, site: Site, words: WordEmbedder, fault: Page) -> None:
    """A page that cannot be read, and all that only it leads to, stays as it was; the others are read."""
    source = website(f"{site.url}/docs/")
    sync(dsn, words, source)
    fault.validators = False
    site.pages["/docs/sub/"] = fault
    del site.pages["/docs/b.html"]
    site.links("/docs/sub/deep.html", text="It is red.")
    report = sync(dsn, words, source)
    assert [problem.code for problem in report.problems] == ["source_unavailable"]
    assert (report.indexed, report.removed) == ((f"{site.url}/docs/sub/deep.html",), ())
    assert set(documents(dsn)) == uris(site, *FOUND)


def test_forbidden_pages_stay_and_are_said(dsn: str, site: Site, words: WordEmbedder) -> None:
    """Who locks us out of a page has not removed it."""
    source = website(f"{site.url}/docs/")
    sync(dsn, words, source)
    site.pages["/docs/sub/"] = Page(status=403, validators=False)
    report = sync(dsn, words, source)
    assert [(failure.uri, failure.reason) for failure in report.failures] == [(f"{site.url}/docs/sub/", "forbidden")]
    assert (report.removed, report.problems) == ((), ())


def test_robots_are_obeyed(site: Site) -> None:
    """What robots.txt forbids is not asked for; the delay it asks for is kept."""
    text = "User-agent: *\nDisallow: /docs/sub/\nUser-agent: pincite\nDisallow: /docs/a.html\nCrawl-delay: 7\n"
    site.pages["/robots.txt"] = Page(text, kind="text/plain", validators=False)
    pauses: list[float] = []
    paced(site, pauses.append)
    assert "/docs/a.html" not in site.asked
    assert set(pauses) == {7.0}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_robots_file_that_cannot_be_read_forbids_all(site: Site, status: int) -> None:
    """Nothing is asked while it is not known what may be."""
    site.pages["/robots.txt"] = Page(status=status, validators=False)
    with pytest.raises(SourceUnavailable, match=r"robots\.txt"):
        crawl(site)
    assert site.asked == ["/robots.txt"]


def test_sitemaps(site: Site) -> None:
    """Of robots.txt and declared, indexes, packed and plain; what is elsewhere is left out."""
    site.pages["/robots.txt"] = Page(f"Sitemap: {site.url}/map.xml\n", kind="text/plain")
    named = (f"{site.url}/more.xml.gz", f"{site.url}/map.xml", "http://127.0.0.2/x.xml")
    index = "".join(f"<sitemap><loc>{each}</loc></sitemap>" for each in named)
    pages = (
        '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        f"<url><loc> {site.url}/docs/lone.html </loc></url><url><loc>http://other.test/docs/</loc></url></urlset>"
    )
    site.pages |= {
        "/map.xml": Page(f"<sitemapindex>{index}</sitemapindex>"),
        "/more.xml.gz": Page(gzip.compress(pages.encode()), kind="application/gzip"),
    }
    site.pages["/plain.txt"] = Page(f"{site.url}/docs/plain.html\n{site.url}/out.html\n")
    site.links("/docs/lone.html")
    site.links("/docs/plain.html")
    found = {entry.uri for entry in crawl(site, sitemaps=("/plain.txt",), max_depth=0)}
    assert found == uris(site, "/docs/", "/docs/lone.html", "/docs/plain.html")


@pytest.mark.parametrize(
    "sent",
    [
        Page(status=500),
        Page(b"<urlset><url><loc>"),
        Page(gzip.compress(b" " * 100_000_000), kind="application/gzip"),
        Page(gzip.compress(b"<urlset/>")[:-9]),
        Page('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><urlset><url><loc>&b;'),
    ],
    ids=["500", "truncated", "bomb", "cut gzip", "entities"],
)
def test_a_bad_sitemap_is_no_complete_listing(site: Site, sent: Page) -> None:
    """The site is read as far as its links go, and nothing is taken for gone."""
    site.pages["/map.xml"] = sent
    with pytest.raises(SourceUnavailable, match=r"map\.xml"):
        crawl(site, sitemaps=("/map.xml",))
    assert set(site.asked) >= FOUND


@pytest.mark.parametrize("limit", [{"max_pages": 3}, {"max_bytes": 300}])
def test_limits_end_a_crawl(site: Site, limit: dict[str, Any]) -> None:
    """A site larger than was said is not followed to its end, and so loses nothing."""
    with pytest.raises(SourceUnavailable, match="more than"):
        crawl(site, **limit)


def test_depth(site: Site) -> None:
    """Links are followed so far and no further."""
    assert {entry.uri for entry in crawl(site, max_depth=0)} == uris(site, "/docs/")
    assert {entry.uri for entry in crawl(site, max_depth=1)} == uris(site, *FOUND) - uris(
        site, "/docs/b.html", "/docs/sub/deep.html"
    )


def test_redirects_lead_only_below_the_url(dsn: str, site: Site, words: WordEmbedder) -> None:
    """A redirect within the site is followed, also to what was met; one that leads out is not."""
    moved = {
        "/docs/a.html": "/docs/new.html",
        "/docs/b.html": "http://169.254.169.254/latest",
        "/docs/loop": "/docs/loop",
    }
    site.links("/docs/", "a.html", "b.html", "loop")
    site.links("/docs/new.html")
    for path, to in moved.items():
        site.pages[path] = Page(status=302, headers={"location": to}, validators=False)
    report = sync(dsn, words, website(f"{site.url}/docs/"))
    assert (set(report.indexed), report.problems) == (uris(site, "/docs/", "/docs/new.html"), ())


def test_a_copy_says_whose_it_is(dsn: str, site: Site, words: WordEmbedder) -> None:
    """A page that names another as its own address is that one; it needs no second reading either."""
    own = f'<link rel="canonical" href="{site.url}/docs/a.html">'
    site.links("/docs/", "print.html", "a.html?from=home")
    site.links("/docs/print.html", "only-here.html", head=own)
    site.links("/docs/a.html?from=home", head=own)
    site.links("/docs/only-here.html")
    report = sync(dsn, words, website(f"{site.url}/docs/"))
    assert set(report.indexed) == uris(site, "/docs/", "/docs/a.html", "/docs/only-here.html", "/docs/b.html")
    site.given.clear()
    assert sync(dsn, words, website(f"{site.url}/docs/")).unchanged == 4
    assert site.given == ["/robots.txt"]
    site.links("/docs/only-here.html", head=own)
    assert sync(dsn, words, website(f"{site.url}/docs/")).removed == (f"{site.url}/docs/only-here.html",)


def test_one_page_in_many_spellings_is_one_document(site: Site) -> None:
    """Escapes, dots, ports and fragments make no second page, and none that slips past a rule."""
    port = site.url.rpartition(":")[2]
    site.links(
        "/docs/",
        "%61.html",
        "x/../a.html",
        f"//127.0.0.1:{port}/docs/a.html#x",
        "HTTP://127.0.0.1:" + port + "/docs/a.html",
    )
    site.links("/docs/a.html")
    assert len(crawl(site)) == 2
    site.links("/docs/", "sub%2F..%2Fsecret.html", "//docs//sub/", "/docs//sub/deep.html")
    site.links("/docs//sub/deep.html")
    listed = [entry for entry in crawl(site, max_depth=1) if isinstance(entry, Entry)]
    assert {entry.path for entry in listed} == {"docs/index.html", "docs/sub/deep.html"}


def test_files_are_read_by_their_type(site: Site) -> None:
    """The server's word on the type decides; what cannot be read is no document."""
    site.links("/docs/", "page", "notes", "data.bin", "shot.png", "what.pdf", "n%00ul.html", "x" * 300)
    kinds = {"page": "text/html", "notes": "text/plain; charset=utf-8", "data.bin": "application/octet-stream"}
    kinds |= {
        "shot.png": "image/png",
        "what.pdf": "application/pdf",
        "n%00ul.html": "text/html",
        "x" * 300: "text/html",
    }
    for name, kind in kinds.items():
        site.pages[f"/docs/{name}"] = Page("Some text.", kind=kind)
    names = {entry.name for entry in crawl(site)}
    read = {"docs.html", "page.html", "notes.txt", "what.pdf", "shot.png", "n_ul.html", "x" * 60 + ".html"}
    assert names == read


def test_a_hostile_page_cannot_make_us_hold_more_than_the_limit(site: Site) -> None:
    """However many links a page has, so many are met as may be asked for, and a little more."""
    site.pages["/docs/"] = Page("".join(f'<a href="{number}">x</a>' for number in range(300)) + "<div>" * 5000)
    with pytest.raises(SourceUnavailable, match="more than 5 pages"):
        crawl(site, max_pages=5)
    assert len(site.asked) == 6


def test_a_page_that_is_too_large_is_said(dsn: str, site: Site, words: WordEmbedder) -> None:
    """Also one that is small until it is unpacked."""
    site.pages["/docs/a.html"] = Page(
        gzip.compress(b"a" * 100_000), headers={"content-encoding": "gzip"}, validators=False
    )
    report = sync(dsn, words, website(f"{site.url}/docs/"), ingest=IngestSettings(max_file_bytes=5000))
    assert [(failure.uri, failure.reason) for failure in report.failures] == [(f"{site.url}/docs/a.html", "too_large")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254", "[::1]", "10.0.0.1"])  # noqa: S104
def test_private_addresses_are_not_asked(host: str) -> None:
    """Unless the source says so, a site inside is not asked, by whatever name."""
    url = f"http://{host}:1/"
    reach = reach_of(url, OutboundSettings(), allow_private=False)
    with open_web(reach, 1, 1) as web, pytest.raises(Unanswered, match="public"):
        web.get(url, {})


def test_a_private_site_is_a_problem(dsn: str, site: Site, words: WordEmbedder) -> None:
    """Nothing of it is asked for."""
    report = sync(dsn, words, website(f"{site.url}/docs/", allow_private=False))
    assert ([problem.code for problem in report.problems], site.asked) == (["source_unavailable"], [])
