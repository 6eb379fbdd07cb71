"""How a website is asked: one URL at a time, no redirect followed, time and bytes bounded."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import httpx2

from retrieval.errors import FetchTooLarge, UrlRefused, UrlUnreachable
from retrieval.settings import OutboundSettings
from retrieval.upstream.outbound import Fetched as Answer
from retrieval.upstream.outbound import Outbound, open_outbound

__all__ = ["AGENT", "Answer", "Asking", "Oversized", "Unanswered", "Web", "open_web", "reach_of"]

AGENT = "Pincite"
_PORTS = {"http": 80, "https": 443}
_PATIENCE = 10
"""A whole answer may take so many times the seconds of silence that are borne."""


class Unanswered(Exception):
    """No whole answer was had."""


class Oversized(Exception):
    """The answer is larger than a document may be."""


class Asking(Protocol):
    """A client that goes only where it may. Redirects are answers like any other."""

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Raises `Unanswered` and `Oversized`."""


class Web:
    """Asks from a thread that has no event loop of its own."""

    def __init__(self, outbound: Outbound, runner: asyncio.Runner, deadline: float, max_bytes: int) -> None:
        self._outbound = outbound
        self._runner = runner
        self._deadline = deadline
        self._max_bytes = max_bytes

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer, unpacked. Raises `Unanswered` and `Oversized`."""
        asked = self._outbound.get(
            url, max_bytes=self._max_bytes, deadline=self._deadline, headers=headers, follow=False
        )
        try:
            return self._runner.run(asked)
        except FetchTooLarge as error:
            raise Oversized(str(error)) from error
        except (UrlRefused, UrlUnreachable) as error:
            raise Unanswered(f"{url}: {error}") from error


@contextmanager
def open_web(reach: OutboundSettings, timeout: float, max_bytes: int) -> Iterator[Web]:
    """A client that goes where `reach` allows, closed at the end."""
    with asyncio.Runner() as runner:
        opening = open_outbound(reach)
        outbound = runner.run(opening.__aenter__())
        try:
            yield Web(outbound, runner, timeout * _PATIENCE, max_bytes)
        finally:
            runner.run(outbound.aclose())


def reach_of(url: str, outbound: OutboundSettings, *, allow_private: bool) -> OutboundSettings:
    """Where a source at this url may lead: its own port is as its declaration says, and its host where that says so."""
    there = httpx2.URL(url)
    port = there.port or _PORTS.get(there.scheme, 80)
    allow = ",".join(filter(None, (outbound.allow, there.host if allow_private else "")))
    return outbound.model_copy(update={"ports": f"{outbound.ports},{port}", "allow": allow})
