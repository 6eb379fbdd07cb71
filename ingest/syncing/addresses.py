"""URLs of a website, each in one spelling, and the places in it that rules are matched with."""

import re
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS = {"http": 80, "https": 443}
_WRITABLE = "!$&'()*+,;=:@/%"


def canonical(base: str, link: str) -> str | None:
    """The URL that a link on the page `base` leads to: no fragment, no default port, no dots, each character written
    one way. None for what is no http address."""
    try:
        parts = urlsplit(urljoin(base, link.strip()))
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in _PORTS or not host or parts.username is not None or not host.isascii() or "%" in host:
        return None
    host = f"[{host}]" if ":" in host else host
    place = host if port in {None, _PORTS[parts.scheme]} else f"{host}:{port}"
    path = urlsplit(urljoin("http://x/", _written(parts.path or "/").lstrip("/").join(("/", "")))).path
    return urlunsplit((parts.scheme, place, path or "/", _written(parts.query), ""))


def place(url: str) -> str:
    """What globs and rules are matched with: the path and query, unescaped, its slashes single. A page spelt another
    way must not slip past a rule."""
    parts = urlsplit(url)
    path = re.sub(r"/{2,}", "/", unquote(parts.path)).lstrip("/")
    asked = "?" + unquote(parts.query).replace("/", "%2F") if parts.query else ""
    return path + ("index.html" if path.endswith("/") or not path else "") + asked


def is_below(url: str, start: str) -> bool:
    """Whether the URL is on the start's host, in its folder or below."""
    here, top = urlsplit(url), urlsplit(start)
    folder = top.path.rpartition("/")[0] + "/"
    return (here.scheme, here.netloc) == (top.scheme, top.netloc) and here.path.startswith(folder)


def is_same_host(url: str, start: str) -> bool:
    """Whether both are on one host."""
    return urlsplit(url)[:2] == urlsplit(start)[:2]


def _written(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _PLAIN else f"%{match[1].upper()}"

    return quote(_ESCAPE.sub(one, text), safe=_WRITABLE + "?")
