"""No spelling of an inner address is called, and none of the public ones is refused."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from retrieval.errors import PinciteError, UrlRefused
from retrieval.settings import OutboundSettings
from retrieval.upstream.destinations import Destinations, is_public
from tests.hostile_web import Names

INNER = [
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),  # noqa: S104
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.2.3", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fec0::1", "ff02::1", "ff0e::1"),
]
OUTER = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::65", "2400:cb00::1"]
LOOPBACK = IPv4Network("127.0.0.0/8")


def asks(allow: str = "", ports: str = "80,443", **names: list[list[str]]) -> Destinations:
    return Destinations(OutboundSettings(allow=allow, ports=ports), Names(**names))


async def admitted(destinations: Destinations, url: str) -> bool:
    """Whether it is; anything but the one refusal fails the test."""
    try:
        await destinations.admit(url)
    except UrlRefused:
        return False
    return True


def spelt(host: str) -> str:
    return f"http://[{host}]/" if ":" in host else f"http://{host}/"


@pytest.mark.parametrize("address", INNER)
async def test_an_inner_address_is_refused_written_out_or_behind_a_name(address: str) -> None:
    """However the address is come by."""
    assert not await admitted(asks(), spelt(address))
    assert not await admitted(asks(hooks_example=[[address]]), "https://hooks.example/")


@pytest.mark.parametrize("address", OUTER)
async def test_a_public_address_is_called(address: str) -> None:
    """Written out or behind a name."""
    assert await admitted(asks(), spelt(address))
    assert await admitted(asks(hooks_example=[[address]]), "https://hooks.example/x?y=z")


@pytest.mark.parametrize("address", INNER)
async def test_one_inner_address_among_public_ones_is_one_too_many(address: str) -> None:
    """Who answers with both hopes that we connect to the second."""
    assert not await admitted(asks(hooks_example=[["1.1.1.1", address]]), "https://hooks.example/")
    assert not await admitted(asks(hooks_example=[[address, "1.1.1.1"]]), "https://hooks.example/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "//hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "unix:///run/docker.sock",
        "http://",
        "http:///path",
        "http://hooks.example:22/",
        "http://hooks.example:0/",
        "http://hooks.example:99999/",
        "http://hooks.example:-1/",
        "http://user@hooks.example/",
        "http://user:password@hooks.example/",
        "http://@hooks.example/",
        "http://1.1.1.1@127.0.0.1/",
        "http://hooks.example\\@127.0.0.1/",
        "http://hooks.example/a b",
        "http://hooks.example/\r\nx-injected: 1",
        "http://hooks.example/\x00",
        "http://hooks%2eexample/",
        "http://hooks..example/",
        "http://.hooks.example/",
        "http://-hooks.example/",
        "http://hooks.example../",
        "http://[hooks.example]/",
        "http://[::1/",
        "http://[2606:4700::1111%25eth0]/",
        "http://[2606:4700::1111%eth0]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://127。0。0。1/",
        "http://１２７.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://ⓛocalhost。1/",
        "http://a\u200b.example:\uff18\uff10/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://hooks.example/" + "a" * 3000,
    ],
)
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    """Spellings that two parsers may read differently are not called at all, wherever they lead."""
    assert not await admitted(asks(hooks_example=[["1.1.1.1"]]), url)


def _spellings(address: IPv4Address) -> st.SearchStrategy[str]:
    """The ways inet_aton reads an IPv4 address: one to four parts, each decimal, octal or hexadecimal."""
    number, octets = int(address), address.packed
    splits = (
        [number],
        [octets[0], number & 0xFFFFFF],
        [octets[0], octets[1], number & 0xFFFF],
        list(octets),
    )
    digits = st.sampled_from([lambda n: str(n), lambda n: f"0{n:o}", lambda n: f"0x{n:x}", lambda n: f"0X{n:08X}"])
    dots = st.sampled_from([".", "。", "．", "｡"])
    written = st.tuples(
        st.sampled_from(splits), st.lists(digits, min_size=4, max_size=4), dots, st.sampled_from(["", "."])
    )
    return written.map(
        lambda made: made[2].join(write(part) for part, write in zip(made[0], made[1], strict=False)) + made[3]
    )


def system_says(host: str) -> list[str]:
    """What the C library makes of a host without asking anybody; nothing for a name."""
    try:
        found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


@given(st.ip_addresses(v=4, network="127.0.0.0/8").flatmap(lambda address: _spellings(IPv4Address(int(address)))))
async def test_no_spelling_of_the_loopback_is_called(host: str) -> None:
    """Neither by us nor by what the C library would make of it."""

    async def resolve(name: str, _port: int) -> list[str]:
        if not (found := system_says(name)):
            raise OSError
        return found

    assert not await admitted(Destinations(OutboundSettings(), resolve), f"http://{host}/")


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_public_is_at_most_what_python_calls_global(address: IPv4Address | IPv6Address) -> None:
    """Ours is a stricter judgement, never a laxer one, and holds no address that carries an inner one."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        embedded = [address.ipv4_mapped, address.sixtofour] if isinstance(address, IPv6Address) else []
        assert embedded == [None] * len(embedded)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_not_public(inner: IPv4Address) -> None:
    """IPv4-mapped, IPv4-compatible, 6to4 and NAT64 forms are refused, whatever they hold."""
    number = int(inner)
    for form in (
        (0xFFFF << 32) + number,
        number,
        (0x2002 << 112) + (number << 80),
        (0x64FF9B << 96) + number,
        (0x64FF9B0001 << 80) + number,
    ):
        assert not is_public(IPv6Address(form))


@given(st.text(max_size=40) | st.from_regex(r"https?://[^/]{0,30}(/.{0,10})?", fullmatch=True))
async def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but errors of ours, and what is read is read the same again."""
    destinations = asks()
    try:
        url = str(destinations.read(text))
    except PinciteError:
        return
    assert str(destinations.read(url)) == url


async def test_the_operator_may_allow_inner_hosts_and_networks() -> None:
    """A host by its name, whatever its address; a network, whatever the name."""
    destinations = asks(
        "Hooks.internal, 10.2.0.0/16,fd00::/8",
        hooks_internal=[["127.0.0.1"]],
        other_internal=[["10.2.3.4"], ["10.3.0.1"]],
    )
    assert await admitted(destinations, "http://hooks.internal/")
    assert await admitted(destinations, "http://HOOKS.internal./")
    assert await admitted(destinations, "http://other.internal/")
    assert not await admitted(destinations, "http://other.internal/")
    assert await admitted(destinations, "http://10.2.0.1/")
    assert await admitted(destinations, "http://[fd00::1]/")
    assert not await admitted(destinations, "http://127.0.0.1/")
    assert not await admitted(destinations, "http://sub.hooks.internal/")


async def test_a_port_is_called_only_if_it_is_open() -> None:
    """The allow-list opens no ports."""
    destinations = asks("10.0.0.0/8", "80,8443")
    assert await admitted(destinations, "http://1.1.1.1/")
    assert await admitted(destinations, "https://1.1.1.1:8443/")
    assert not await admitted(destinations, "https://1.1.1.1/")
    assert not await admitted(destinations, "http://10.0.0.1:5432/")


async def test_a_refusal_does_not_tell_the_address() -> None:
    """Who may name a host is not told what our name server knows of it."""
    with pytest.raises(UrlRefused) as refused:
        await asks(db_internal=[["10.9.8.7"]]).admit("http://db.internal/secret?token=abc")
    assert "10.9.8.7" not in str(refused.value)
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize("allow", ["10.0.0.0/33", "10.0.0.1/8", "http://hooks.internal", "hooks.internal:8080"])
def test_an_allow_list_that_is_none_is_refused(allow: str) -> None:
    """It would allow nothing, and the operator would not know."""
    with pytest.raises(ValidationError):
        OutboundSettings(allow=allow)


@pytest.mark.parametrize("ports", ["", "80;443", "http", "0", "65536", "-1"])
def test_ports_are_numbers(ports: str) -> None:
    """In their range."""
    with pytest.raises(ValidationError):
        OutboundSettings(ports=ports)


def test_the_inner_addresses_are_inner() -> None:
    """The list of this file is what it says."""
    assert [address for address in INNER if is_public(ip_address(address))] == []
    assert ip_address("127.0.0.1") in ip_network(LOOPBACK)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost."])
async def test_the_systems_own_names_are_judged_too(host: str) -> None:
    """As the system looks them up, in its own hosts file."""
    assert not await admitted(Destinations(OutboundSettings()), f"http://{host}/")
    assert await admitted(Destinations(OutboundSettings(allow="127.0.0.0/8,::1/128")), f"http://{host}/")


async def test_many_urls_are_judged_in_the_time_of_one() -> None:
    """A name server that does not answer leaves its URL to be judged when it is called; the others are judged now."""

    async def resolve(host: str, _port: int) -> Sequence[str]:
        if host == "slow.example":
            await asyncio.Event().wait()
        return ["10.0.0.1"] if host == "inner.example" else ["1.1.1.1"]

    urls = ["http://slow.example/", "http://inner.example/", "http://outer.example/", "ftp://outer.example/"]
    found = await Destinations(OutboundSettings(), resolve).refusals([*urls, urls[1]], 0.2)
    assert [refusal is not None for refusal in found] == [False, True, False, True, True]
