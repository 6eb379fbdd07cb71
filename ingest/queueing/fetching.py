"""Documents that were handed in by their address: a worker fetches them, when it is their turn."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from ingest.parsing import content_type_of, extension_of
from retrieval.errors import UnreadableDocument, UrlUnreachable
from retrieval.settings import OutboundSettings
from retrieval.upstream.outbound import Fetched, open_outbound
from retrieval.upstream.retry_after import retry_after

MOST_ATTEMPTS = 8
"""Times an address is asked that does not answer: over about an hour."""
_FIRST, _LONGEST = 10.0, 1800.0  # seconds between two of them
_DEADLINE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """What stands at an address, under a name whose extension says how to read it."""

    name: str
    content: bytes


def fetch(url: str, file_name: str, settings: OutboundSettings, max_bytes: int) -> FetchedFile:
    """What stands there now; `file_name` "": named by its type, else by its address.

    Raises `UrlRefused`, `FetchTooLarge`, `UrlUnreachable`, also where it is not to be had just now, and
    `UnreadableDocument` for what is not there, not for us, or of no kind that can be read.
    """
    found = asyncio.run(_get(url, settings, max_bytes))
    if found.status == 429 or found.status >= 500:
        raise UrlUnreachable(f"the server answered {found.status}", retry_after(found.headers))
    if found.status != 200:
        raise UnreadableDocument("url_status", f"the server answered {found.status}")
    return FetchedFile(name=file_name or _name(found), content=found.body)


def pause(attempts: int, asked_for: float | None) -> float:
    """Seconds before the address is asked again: twice as long each time, with jitter."""
    longest = min(_LONGEST, _FIRST * 2 ** (attempts - 1))
    return max(random.uniform(longest / 2, longest), asked_for or 0.0)  # noqa: S311 - jitter, not a secret


async def _get(url: str, settings: OutboundSettings, max_bytes: int) -> Fetched:
    async with open_outbound(settings) as outbound:
        return await outbound.get(url, max_bytes=max_bytes, deadline=_DEADLINE)


def _name(found: Fetched) -> str:
    own = PurePosixPath(unquote(urlsplit(found.url).path)).name[:100] or "document"
    extension = extension_of(found.headers.get("content-type", ""))
    if extension is None and content_type_of(own) is None:
        raise UnreadableDocument("unsupported_format", "the server names no type that can be read")
    if extension is None or content_type_of(own) == content_type_of(f"a{extension}"):
        return own
    return f"{PurePosixPath(own).stem}{extension}"
