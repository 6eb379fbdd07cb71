"""A website, by its sitemaps and links: breadth first, politely, and without its pages that did not change."""

import hashlib
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ingest.domain import Failure
from ingest.syncing.addresses import canonical, is_below, is_same_host, place
from ingest.syncing.asking import Answer, Asking, Oversized, Unanswered, open_web, reach_of
from ingest.syncing.declared import WebsiteSource
from ingest.syncing.domain import Entry, Fetched, Item
from ingest.syncing.manners import Manners, learn_manners
from ingest.syncing.pages import BadSitemap, Links, file_name, is_html, links, sitemap
from ingest.syncing.spool import Spool
from retrieval.errors import InvalidSources, SourceUnavailable
from retrieval.settings import IngestSettings, OutboundSettings, SyncSettings

_MOST_SITEMAPS = 500
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_FORBIDDEN = frozenset({401, 403, 451})
_NOT_MODIFIED = 304
_OK = 200


@dataclass(slots=True)
class _Crawl:
    """How far a crawl has come: addresses yet to be asked with their depth, all that were ever met, what went wrong."""

    known: Mapping[str, Item]
    settled: frozenset[str]
    waiting: deque[tuple[str, int]] = field(default_factory=deque)
    met: set[str] = field(default_factory=set)
    asked: int = 0
    bytes: int = 0
    unread: list[str] = field(default_factory=list)


class Website:
    """The pages below the url."""

    def __init__(
        self, declared: WebsiteSource, web: Asking, spool: Spool, pause: Callable[[float], None] = time.sleep
    ) -> None:
        start = canonical(declared.url, "")
        if start is None:
            raise InvalidSources(f"{declared.name}: {declared.url} is no web address")
        self._declared = declared
        self._start = start
        self._web = web
        self._spool = spool
        self._pause = pause
        self._files: dict[str, Path] = {}

    def entries(self, known: Mapping[str, Item], settled: frozenset[str]) -> Iterator[Entry | Failure]:
        """All pages that are found, and asides for those that say they are another's copy.

        Raises `SourceUnavailable`, after all that can be read, when a page could not be or a limit was met.
        """
        manners = learn_manners(self._web, self._start)
        crawl = _Crawl(known, settled)
        self._meet(crawl, self._start, 0)
        for url in self._listed(manners, crawl):
            self._meet(crawl, url, 0)
        while crawl.waiting:
            url, depth = crawl.waiting.popleft()
            if manners.allow(url):
                self._check_limits(crawl)
                self._pause(max(self._declared.delay, manners.delay))
                yield from self._visit(crawl, url, depth)
        if crawl.unread:
            raise SourceUnavailable(f"{len(crawl.unread)} pages could not be read, the first: {crawl.unread[0]}")

    def fetch(self, entries: Sequence[Entry], folder: Path) -> Iterator[Fetched | Failure]:
        """The pages, as they were when they were found."""
        for entry in entries:
            file = self._files.pop(entry.uri)
            target = folder / file.parent.name / file.name
            target.parent.mkdir()
            yield Fetched(entry=entry, path=file.rename(target))

    def _listed(self, manners: Manners, crawl: _Crawl) -> Iterator[str]:
        """The pages that the sitemaps name. One that is declared must be there; one the site names may be missing."""
        declared = [found for each in self._declared.sitemaps if (found := canonical(self._start, each))]
        waiting = deque([*declared, *(each for each in manners.sitemaps if is_same_host(each, self._start))])
        met: set[str] = set()
        while waiting and len(met) < _MOST_SITEMAPS:
            url = waiting.popleft()
            if url in met:
                continue
            met.add(url)
            try:
                pages, further = self._sitemap(url, must=url in declared)
            except (Unanswered, BadSitemap, Oversized) as error:
                crawl.unread.append(f"{url}: {error}")
                continue
            yield from pages
            waiting += [each for each in further if is_same_host(each, self._start)]

    def _sitemap(self, url: str, *, must: bool) -> tuple[list[str], list[str]]:
        answer = self._web.get(url, {})
        if answer.status in _GONE and not must:
            return [], []
        if answer.status != _OK:
            raise Unanswered(f"HTTP {answer.status}")
        return sitemap(url, answer.body, self._declared.max_pages + 1)

    def _visit(self, crawl: _Crawl, url: str, depth: int) -> Iterator[Entry | Failure]:
        item = crawl.known[url] if url in crawl.settled else None
        crawl.asked += 1
        try:
            answer = self._web.get(url, _conditions(item))
        except Oversized as error:
            yield Failure(uri=url, reason="too_large", message=str(error))
            return
        except Unanswered as error:
            crawl.unread.append(str(error))
            self._follow_remembered(crawl, url, depth)
            return
        crawl.bytes += len(answer.body)
        if answer.status == _OK:
            yield from self._read(crawl, url, depth, answer)
        elif answer.status == _NOT_MODIFIED and item is not None:
            yield from self._unchanged(crawl, url, depth, item)
        else:
            yield from self._denied(crawl, url, depth, answer)

    def _read(self, crawl: _Crawl, url: str, depth: int, answer: Answer) -> Iterator[Entry | Failure]:
        kind = answer.headers.get("content-type", "")
        found = links(url, answer.body) if is_html(kind) else Links(out=(), own=None)
        out = [each for each in found.out if is_below(each, self._start)]
        self._follow(crawl, out, depth)
        name = file_name(url, kind)
        if name is None:
            return
        validators = {each: answer.headers[each] for each in ("etag", "last-modified") if each in answer.headers}
        aside = found.own is not None and found.own != url and is_below(found.own, self._start)
        marker = hashlib.sha256(name.encode() + b"\0" + answer.body).hexdigest()
        if aside and found.own is not None:
            self._meet(crawl, found.own, depth)
            out.append(found.own)
        elif url not in crawl.settled or marker != crawl.known[url].marker:
            self._files[url] = self._spool.write(name, [answer.body])
        yield Entry(
            uri=url,
            path=place(url),
            name=name,
            marker=marker,
            size=len(answer.body),
            locator=url,
            remembered={"name": name, "links": out, **validators},
            aside=aside,
        )

    def _unchanged(self, crawl: _Crawl, url: str, depth: int, item: Item) -> Iterator[Entry]:
        """A page of which the server says that it is as it was: so are its links."""
        self._follow_remembered(crawl, url, depth)
        yield Entry(
            uri=url,
            path=place(url),
            name=item.remembered["name"],
            marker=item.marker,
            size=0,
            locator=url,
            remembered=item.remembered,
            aside=item.aside,
        )

    def _denied(self, crawl: _Crawl, url: str, depth: int, answer: Answer) -> Iterator[Failure]:
        """What is gone is gone; what is forbidden stays as it was; all else may pass, and the crawl is not whole."""
        if answer.status in _REDIRECTS:
            led_to = canonical(url, answer.headers.get("location", ""))
            if led_to is not None and is_below(led_to, self._start):
                self._meet(crawl, led_to, depth)
            elif url == self._start:
                raise SourceUnavailable(f"{url} leads to {led_to}: declare that address")
        elif answer.status in _FORBIDDEN:
            self._follow_remembered(crawl, url, depth)
            yield Failure(uri=url, reason="forbidden", message=f"the server answered {answer.status}")
        elif answer.status not in _GONE or url == self._start:
            crawl.unread.append(f"{url}: HTTP {answer.status}")
            self._follow_remembered(crawl, url, depth)

    def _follow_remembered(self, crawl: _Crawl, url: str, depth: int) -> None:
        if url in crawl.known:
            self._follow(crawl, crawl.known[url].remembered.get("links", ()), depth)

    def _follow(self, crawl: _Crawl, out: Sequence[str], depth: int) -> None:
        if depth < self._declared.max_depth:
            for url in out:
                self._meet(crawl, url, depth + 1)

    def _meet(self, crawl: _Crawl, url: str, depth: int) -> None:
        # Twice the limit is enough to notice that it is met, and bounds what a hostile page can make us hold.
        if url not in crawl.met and is_below(url, self._start) and len(crawl.met) <= 2 * self._declared.max_pages:
            crawl.met.add(url)
            crawl.waiting.append((url, depth))

    def _check_limits(self, crawl: _Crawl) -> None:
        if crawl.asked >= self._declared.max_pages:
            raise SourceUnavailable(f"it has more than {self._declared.max_pages} pages")
        if crawl.bytes > self._declared.max_bytes:
            raise SourceUnavailable(f"its pages are more than {self._declared.max_bytes} bytes")


@contextmanager
def open_website(
    declared: WebsiteSource, settings: SyncSettings, limits: IngestSettings, outbound: OutboundSettings
) -> Iterator[Website]:
    """The website as a source. Raises `InvalidSources` for a url that is none."""
    reach = reach_of(declared.url, outbound, allow_private=declared.allow_private)
    with (
        tempfile.TemporaryDirectory(prefix="pincite-web-") as folder,
        open_web(reach, settings.timeout, limits.max_file_bytes) as web,
    ):
        yield Website(declared, web, Spool(Path(folder), limits.max_file_bytes))


def _conditions(item: Item | None) -> dict[str, str]:
    """Headers that spare the body of a page that did not change."""
    remembered = {} if item is None else item.remembered
    asked = {"if-none-match": remembered.get("etag"), "if-modified-since": remembered.get("last-modified")}
    return {name: value for name, value in asked.items() if value}
