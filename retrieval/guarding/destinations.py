"""Where a link may lead: to what the cited documents themselves name."""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final
from urllib.parse import unquote

from retrieval.domain import Passage, RankedPassage
from retrieval.guarding.invisible import without_invisible

# What linkifying Markdown renderers take for a host's end; others need `//` or `www.` before it.
_TLD = (
    r"(?:com|net|org|edu|gov|mil|int|biz|info|name|pro|web|xxx|aero|asia|coop|museum|shop|app|dev|xyz|online|site|top"
    r"|link|page|cloud|tech|store|blog|live|club|icu|arpa|рф|xn--[a-z0-9-]+"
    r"|a[cdefgilmnoqrstuwxz]|b[abdefghijmnorstvwyz]|c[acdfghiklmnoruvwxyz]|d[ejkmoz]|e[cegrstu]|f[ijkmor]"
    r"|g[abdefghilmnpqrstuwy]|h[kmnrtu]|i[delmnoqrst]|j[emop]|k[eghimnprwyz]|l[abcikrstuvy]|m[acdeghklmnopqrstuvwxyz]"
    r"|n[acefgilopruz]|om|p[aefghklmnrstwy]|qa|r[eosuw]|s[abcdeghijklmnortuvxyz]|t[cdfghjklmnortvwz]|u[agksyz]"
    r"|v[aceginu]|w[fs]|y[et]|z[amw])"
)
URL: Final = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}:(?://|\\\\)"
    r"|(?:mailto|javascript|vbscript|xmpp|blob|view-source):(?=\S)|data:(?=[\w/+.-]*[,;])"
    r"|(?<![:/\w])//(?=[^\s/]*(?:\.|localhost))"
    r"|(?<!\w)www\.(?=\w)"
    r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?=:\d|[/?#\\]\S)"
    rf"|(?<![\w.-])[\w.-]*\.{_TLD}(?![\w-])\.?(?::\d+)?(?=[/?#\\][^\s])"
    rf"|(?<![\w.-])(?:[\w-]+\.){{2,}}{_TLD}(?![\w-]|\.\w)"
    rf"|(?:(?<=[^\x00-\x7f])|(?<=[\w-]\.))\.?[\w-]*\.{_TLD}(?![\w-])",
    re.IGNORECASE,
)
"""Where something begins that a renderer may make a link. A name of two parts alone (`example.com`, `on-call.md`) is
a word: it leads to no place that could take more than a click with it."""

TRAILING: Final = ".,;:!?)}'\"*_~’”»›“"
_ADDRESS = re.compile(r"[^\s<>\[\]\"`]+")


class Verdict(Enum):
    ALLOWED = "allowed"
    UNDECIDED = "undecided"
    FORBIDDEN = "forbidden"


class Destinations:
    """What the shown passages and their uris name, and which of them are cited by now."""

    def __init__(self, passages: Sequence[RankedPassage]) -> None:
        self._unread = list(passages)
        self._named: dict[str, set[int]] = {}
        self._cited: set[int] = set()

    def add(self, passages: Sequence[RankedPassage]) -> None:
        """These are shown as well."""
        self._unread.extend(passages)

    def cite(self, number: int) -> None:
        """From now on, what this passage names may be linked to."""
        self._cited.add(number)

    def verdict(self, url: str) -> Verdict:
        """Whether it may be linked to; undecided where a passage names it that may still be cited."""
        self._read()
        numbers = self._named.get(normal(url))
        if numbers is None:
            return Verdict.FORBIDDEN
        return Verdict.UNDECIDED if self._cited.isdisjoint(numbers) else Verdict.ALLOWED

    def _read(self) -> None:
        """Only once there is a link: most answers have none, and nobody's first word waits for it."""
        for ranked in self._unread:
            for url in (ranked.passage.uri, *_urls(ranked.passage)):
                self._named.setdefault(normal(url), set()).add(ranked.number)
        self._unread.clear()


def normal(url: str) -> str:
    """The url, comparable: `http` and `https`, or none of them, are one; host names have no case."""
    scheme, separator, rest = url.strip().rpartition("//") if "//" in url[:10] else ("", "", url.strip())
    if scheme.lower() not in {"", "http:", "https:"} or (not separator and ":" in url.partition("/")[0]):
        return url.strip()
    host, slash, path = rest.partition("/")
    return f"{host.lower()}{slash}{path}".rstrip("/")


def plain(run: str) -> str:
    """What a run of characters may turn into once entities, escapes and lookalikes are resolved."""
    if run.isascii() and not any(mark in run for mark in "&\\%"):
        return run
    unescaped = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", unquote(html.unescape(html.unescape(run))))
    return without_invisible(unicodedata.normalize("NFKC", unescaped))


def _urls(passage: Passage) -> Iterator[str]:
    """Each address, as it stands there without what closes the sentence or the bracket around it."""
    for run in _ADDRESS.findall(passage.text):
        if found := URL.search(run):
            url = run[found.start() :]
            yield url.rstrip(TRAILING)
            yield url.partition(")")[0].rstrip(TRAILING)
