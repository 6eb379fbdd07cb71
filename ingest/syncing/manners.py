"""What a website asks of its visitors: robots.txt (RFC 9309)."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from protego import Protego

from ingest.syncing.addresses import canonical
from ingest.syncing.asking import AGENT, Asking, Oversized, Unanswered
from retrieval.errors import SourceUnavailable

_MOST_READ = 512 * 1024
_LONGEST_DELAY = 60.0
_OK = range(200, 300)
_NONE = range(400, 500)
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Manners:
    """Where one may go, the seconds between two requests, and the sitemaps that are offered."""

    _rules: Protego
    delay: float
    sitemaps: Sequence[str]

    def allow(self, url: str) -> bool:
        """Whether the page may be asked for."""
        return bool(self._rules.can_fetch(url, AGENT))


def learn_manners(web: Asking, start: str) -> Manners:
    """What the start's host asks. Without a robots.txt all is allowed. Raises `SourceUnavailable` where it cannot be
    read: then nothing is."""
    url = urljoin(start, "/robots.txt")
    for _ in range(5):
        try:
            answer = web.get(url, {})
        except (Oversized, Unanswered) as error:
            raise SourceUnavailable(f"robots.txt: {error}") from error
        led_to = canonical(url, answer.headers.get("location", "")) if answer.status in range(300, 400) else None
        if led_to is None:
            break
        url = led_to
    if answer.status in _NONE and answer.status != _TOO_MANY:
        return _read("", url)
    if answer.status not in _OK:
        raise SourceUnavailable(f"{url}: HTTP {answer.status}")
    return _read(answer.body[:_MOST_READ].decode(errors="replace"), url)


def _read(text: str, url: str) -> Manners:
    rules = Protego.parse(text)
    delay = min(float(rules.crawl_delay(AGENT) or 0), _LONGEST_DELAY)
    return Manners(rules, delay, [found for each in rules.sitemaps if (found := canonical(url, each))])
