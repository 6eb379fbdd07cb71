"""How a website is asked: one URL at a time, no redirect followed, time and bytes bounded."""

import ipaddress
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx2

AGENT = "Pincite"
_PIECES = 64 * 1024
_PATIENCE = 10
"""A whole answer may take so many times the seconds of silence that are borne."""


class Unanswered(Exception):
    """No whole answer was had."""


class Refused(Unanswered):
    """An address that is not to be asked."""


class Oversized(Exception):
    """The answer is larger than a document may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Asking(Protocol):
    """A client that goes only where it may. Redirects are answers like any other."""

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Raises `Unanswered` and `Oversized`."""


class PublicWeb:
    """Asks hosts on the public internet alone, unless private ones are allowed."""

    def __init__(self, client: httpx2.Client, timeout: float, max_bytes: int, *, allow_private: bool) -> None:
        self._client = client
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._allow_private = allow_private

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer, unpacked. Raises `Unanswered` and `Oversized`."""
        if not self._allow_private:
            _judge(url)
        try:
            with self._client.stream("GET", url, headers=dict(headers)) as response:
                return Answer(status=response.status_code, headers=response.headers, body=self._body(response))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise Unanswered(f"{url} gave no whole answer ({type(error).__name__})") from error

    def _body(self, response: httpx2.Response) -> bytes:
        body, deadline = bytearray(), time.monotonic() + self._timeout * _PATIENCE
        for piece in response.iter_bytes(_PIECES):
            body += piece
            if len(body) > self._max_bytes:
                raise Oversized(f"it is larger than {self._max_bytes} bytes")
            if time.monotonic() > deadline:
                raise Unanswered(f"{response.url} took too long")
        return bytes(body)


@contextmanager
def open_web(timeout: float, max_bytes: int, *, allow_private: bool) -> Iterator[PublicWeb]:
    """A client, closed at the end. Nothing is taken from the environment's proxies, and no cookie is kept."""
    headers = {"user-agent": AGENT, "accept-encoding": "gzip, deflate"}
    with httpx2.Client(timeout=timeout, headers=headers, trust_env=False, follow_redirects=False) as client:
        yield PublicWeb(client, timeout, max_bytes, allow_private=allow_private)


def _judge(url: str) -> None:
    host = httpx2.URL(url).host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unanswered(f"{host} has no address") from error
    for *_, address in found:
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global:
            raise Refused(f"{host} is a private address")
