"""Where an answer leads once a Markdown client has rendered it: HTML on, every address linked."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token


class _Careless(MarkdownIt):
    """Other clients do not look at schemes."""

    def validateLink(self, url: str) -> bool:  # noqa: N802, ARG002 - the library's name
        return True


_MARKDOWN = _Careless("gfm-like", {"html": True, "linkify": True})
_LOADS = "href|src|srcset|style|action|data|poster|background|url"
_ATTRIBUTE = re.compile(rf"<[a-z!/?][^<>]*(?:[\s\"'/]on\w+|{_LOADS})\s*[=(]", re.IGNORECASE)
_ACTIVE = re.compile(r"</?(?:a|img|script|style|iframe|svg|base|meta|object|form)(?=[\s/>])", re.IGNORECASE)
_NAME = re.compile(r"(?:https?://|mailto:)[^/?#]*", re.IGNORECASE)


def destinations_of(text: str) -> Iterator[str]:
    """Everything that the rendered text leads to, loads or runs."""
    yield from _ACTIVE.findall(text)  # also a tag that is never closed
    for token in _tokens(_MARKDOWN.parse(text)):
        if token.type in {"html_block", "html_inline"}:
            yield from (found[0] for found in _ATTRIBUTE.finditer(token.content))
        yield from (str(token.attrs[name]) for name in ("href", "src") if name in token.attrs)


def images_in(text: str) -> list[str]:
    """What the rendered text loads by itself."""
    return [str(token.attrs["src"]) for token in _tokens(_MARKDOWN.parse(text)) if token.type == "image"]


def is_name(url: str) -> bool:
    """`done.it`, `on-call.md:12`, `hr@acme.com`: names that stand as they are written."""
    host = re.sub(r":\d+$", "", unquote(url).split("//", 1)[-1].removeprefix("mailto:").rpartition("@")[2])
    return _NAME.fullmatch(url) is not None and host.rstrip(".").count(".") <= (1 if url.startswith("http") else 9)


def _tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or ())
