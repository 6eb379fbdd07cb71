"""Calls to URLs that somebody gave us: webhooks, documents by their address, websites.

What answers is nobody's friend. Each connection is made to an address that was judged when it was made, so that a
name cannot mean another by then; redirects are followed one by one and judged like the first; time and bytes are
bounded. Nothing is taken from the environment's proxies, and no cookie is kept.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import cast

import httpcore2
import httpx2
from anyio import CancelScope

from retrieval.errors import FetchTooLarge, UrlRefused, UrlUnreachable
from retrieval.settings import OutboundSettings
from retrieval.upstream.destinations import Destinations, Resolver

_CONNECT_SECONDS = 5.0
"""For each address of a host, and for its handshake."""
_SILENT_SECONDS = 30.0
"""Of a server that has been asked, or is in the middle of its answer."""
_MOST_ADDRESSES = 4
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_OURS = {"user-agent": "Pincite", "accept-encoding": "gzip, deflate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a server answered; what it wrote was left unread."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Reply):
    """What stands at a URL: the last of the redirects that led there."""

    url: str
    body: bytes


class Outbound:
    """The client. Open one with `open_outbound()`.

    Every call raises `UrlRefused` for where we do not go, and `UrlUnreachable` when no answer is had in time.
    """

    def __init__(self, destinations: Destinations, tls: ssl.SSLContext) -> None:
        self._destinations = destinations
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,  # who calls bounds how much at once: a slow server must not hold up the others
            max_keepalive_connections=10,
            keepalive_expiry=5.0,
            network_backend=_JudgedConnections(destinations),
        )

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Fetched:
        """What stands there, after at most five redirects, within `deadline` seconds in all. Any status is an answer,
        and where redirects are not to be followed, so are they.

        Raises `FetchTooLarge` beyond `max_bytes`, unpacked or not. Another host is told nothing of `headers`.
        """
        here, asked = self._destinations.read(url), dict(headers or {})
        with _unreachable(here):
            async with asyncio.timeout(deadline):
                for _ in range(_MOST_REDIRECTS + 1):
                    found = await self._look(here, asked, max_bytes, follow=follow)
                    if isinstance(found, Fetched):
                        return found
                    asked = asked if _origin(found) == _origin(here) else {}
                    here = found
        raise UrlRefused(f"more than {_MOST_REDIRECTS} redirects")

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str], deadline: float) -> Reply:
        """How the server takes the content, in `deadline` seconds. A redirect is an answer like any other."""
        there = self._destinations.read(url)
        with _unreachable(there):
            async with asyncio.timeout(deadline), self._exchange("POST", there, headers, content=content) as response:
                return Reply(status=response.status_code, headers=response.headers)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._pool.aclose()

    async def _look(
        self, url: httpx2.URL, headers: Mapping[str, str], max_bytes: int, *, follow: bool
    ) -> Fetched | httpx2.URL:
        """What stands there, or where it says to go."""
        async with self._exchange("GET", url, headers, most=max_bytes) as response:
            if follow and response.status_code in _REDIRECTS and "location" in response.headers:
                return self._redirect(url, response.headers["location"])
            body = await _read(response, max_bytes)
            return Fetched(status=response.status_code, headers=response.headers, url=str(url), body=body)

    @asynccontextmanager
    async def _exchange(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], *, content: bytes | None = None, most: int = 0
    ) -> AsyncIterator[httpx2.Response]:
        request = httpx2.Request(method, url, headers=_OURS | dict(headers), content=content)
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content or None,
            extensions={"timeout": {"connect": _CONNECT_SECONDS, "read": _SILENT_SECONDS}},
        )
        received = await self._pool.handle_async_request(sent)
        response = httpx2.Response(received.status, headers=received.headers, stream=_Body(received, most))
        try:
            yield response
        finally:
            await response.aclose()

    def _redirect(self, here: httpx2.URL, location: str) -> httpx2.URL:
        try:
            led_to = str(here.join(location))
        except (httpx2.InvalidURL, ValueError):
            raise UrlRefused("a redirect leads to no URL") from None
        there = self._destinations.read(led_to)
        if here.scheme == "https" and there.scheme != "https":
            raise UrlRefused("a redirect leads from https to http")
        return there


@asynccontextmanager
async def open_outbound(
    settings: OutboundSettings, *, resolve: Resolver | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Outbound]:
    """A client, closed at the end. Names are looked up by `resolve`, certificates checked by `tls`; unsaid: the
    system's."""
    outbound = Outbound(Destinations(settings, resolve), tls or httpx2.create_ssl_context())
    try:
        yield outbound
    finally:
        await outbound.aclose()


class _JudgedConnections(httpcore2.AsyncNetworkBackend):
    """Connects to judged addresses alone; host, certificate and `Host` header stay those of the name."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in (await self._destinations.addresses(host, port))[:_MOST_ADDRESSES]:
            try:
                made = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
                return _Closing(made)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class _Closing(httpcore2.AsyncNetworkStream):
    """A connection that is closed when its handshake is cancelled: httpcore closes it only when that fails."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self.read = stream.read  # type: ignore[method-assign]
        self.write = stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            with CancelScope(shield=True):
                await self._stream.aclose()
            raise


class _Body(httpx2.AsyncByteStream):
    """The rest of a response, for httpx2 to decode. Raises `FetchTooLarge` beyond `most` bytes on the wire, of which
    none may unpack to anything."""

    def __init__(self, received: httpcore2.Response, most: int) -> None:
        self._received = received
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in cast("httpx2.AsyncByteStream", self._received.stream):
            read += len(part)
            _check_size(read, self._most)
            yield part

    async def aclose(self) -> None:
        await self._received.aclose()


async def _read(response: httpx2.Response, max_bytes: int) -> bytes:
    if response.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
        raise httpx2.DecodingError("an encoding that was not asked for")
    body = bytearray()
    async for part in response.aiter_bytes():  # unpacks at most a megabyte at a time
        body += part
        _check_size(len(body), max_bytes)
    return bytes(body)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise FetchTooLarge(f"what stands there is larger than {most} bytes")


@contextmanager
def _unreachable(url: httpx2.URL) -> Iterator[None]:
    try:
        yield
    except (*_FAILURES, TimeoutError) as error:
        # Never the server's own words.
        raise UrlUnreachable(f"{url.host} gave no answer that could be read ({type(error).__name__})") from error


_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpx2.DecodingError,
    OSError,
)


def _origin(url: httpx2.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port
