"""Where a URL that somebody gave us may lead: to public addresses, and to what the operator allows.

A URL is judged as it will be used: the host that was read is the host that is looked up, every address it has is
judged, and the connection is made to an address that was.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

from retrieval.errors import UrlRefused, UrlUnreachable
from retrieval.settings import OutboundSettings

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses a host's name stands for. Raises OSError when it stands for none."""

_LONGEST = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""A host's name. Its last label begins with no digit: what does is a spelling of an IPv4 address, or nothing."""

_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            # Python's `is_global` calls these public, or did so in a version that we run on.
            "192.0.0.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "168.63.129.16/32",  # Azure's metadata, on a public address
            "224.0.0.0/4",
            "2001::/23",  # Teredo and other protocols' own
            "2002::/16",  # 6to4: an IPv4 address in disguise
            "3fff::/20",
        ),
    )
)
_PUBLIC_IPV6 = ip_network("2000::/3")
"""All that was ever given out. IPv4-mapped, NAT64 and site-local addresses are outside it."""


_LOOK_UPS = ThreadPoolExecutor(16, thread_name_prefix="look-up")
"""Of their own: a slow name server, which may be an attacker's, holds up other look-ups and nothing else."""


class Destinations:
    """Says where may be connected to."""

    def __init__(self, settings: OutboundSettings, resolve: Resolver | None = None) -> None:
        self._networks = settings.networks
        self._hosts = settings.hosts
        self._ports = settings.open_ports
        self._resolve = resolve or _resolved

    def read(self, text: str) -> httpx2.URL:
        """The URL, if it could be called; its host is not looked up. Raises `UrlRefused`."""
        if len(text) > _LONGEST or _UNPRINTABLE.search(text):
            raise UrlRefused(f"a URL is at most {_LONGEST} characters, without spaces and backslashes")
        try:
            url = httpx2.URL(text)
            host = _canonical(url.raw_host.decode("ascii"))
        except (httpx2.InvalidURL, ValueError):  # what idna raises is a ValueError too
            raise UrlRefused("this is not a URL that can be called") from None
        if url.scheme not in _DEFAULT_PORTS:
            raise UrlRefused("only http and https URLs are called")
        if _USERINFO.match(text):
            raise UrlRefused("a URL may not hold a user name or a password")
        if _port(url) not in self._ports:
            raise UrlRefused("this port is not called: PINCITE_OUTBOUND_PORTS names those that are")
        return url.copy_with(host=host, fragment=None)

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The host's addresses, all of them judged. Raises `UrlRefused` if one is not to be called, and
        `UrlUnreachable` if there is none."""
        try:
            found = [str(ip_address(host))] if _is_address(host) else await self._resolve(host, port)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise UrlUnreachable(f"no address is known for {host}")
        if host not in self._hosts and not all(map(self._allows, found)):
            raise UrlRefused(f"{host} is not a public address (PINCITE_OUTBOUND_ALLOW names inner ones to be called)")
        return tuple(found)

    async def admit(self, text: str) -> None:
        """Returns if the URL may be called as things stand now. Raises `UrlRefused`, also when its host has no address:
        who names it can put that right."""
        url = self.read(text)
        try:
            await self.addresses(url.raw_host.decode("ascii"), _port(url))
        except UrlUnreachable as error:
            raise UrlRefused(str(error)) from None

    async def refusals(self, texts: Sequence[str], seconds: float) -> list[UrlRefused | None]:
        """Why each of the URLs may not be called as things stand now. None: it may, or its host was not looked up in so
        many seconds, and it is judged when it is called."""
        judged = {text: asyncio.create_task(self.admit(text)) for text in dict.fromkeys(texts)}
        if judged:
            await asyncio.wait(judged.values(), timeout=seconds)
        for task in judged.values():
            task.cancel()
        await asyncio.gather(*judged.values(), return_exceptions=True)
        return [_refusal(judged[text]) for text in texts]

    def _allows(self, text: str) -> bool:
        address = ip_address(text)
        return is_public(address) or any(address in network for network in self._networks)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True for an address that belongs to anybody on the internet, and is nothing's inner or special one."""
    if isinstance(address, IPv6Address) and (address not in _PUBLIC_IPV6 or address.scope_id):
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _refusal(judged: asyncio.Task[None]) -> UrlRefused | None:
    try:
        judged.result()
    except UrlRefused as error:
        return error
    except asyncio.CancelledError:
        pass
    return None


def _port(url: httpx2.URL) -> int:
    return _DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _canonical(host: str) -> str:
    """The one spelling a host is judged, looked up and certified by. Raises ValueError for what is no host."""
    if _is_address(host):
        if "%" in host:
            raise ValueError("an address with a zone is an inner one")
        return str(ip_address(host))
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError("not a host's name")
    return name


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _resolved(host: str, port: int) -> Sequence[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    return [str(address[0]) for *_, address in found]
