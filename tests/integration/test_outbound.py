"""The client for URLs that others give us, against servers that mean no good."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from retrieval.errors import FetchTooLarge, UrlRefused, UrlUnreachable
from retrieval.settings import OutboundSettings
from retrieval.upstream.outbound import Fetched, Outbound, open_outbound
from tests.hostile_web import Answer, Heard, Names, Web, answer, forever, hang, raw, web

SECONDS = 30.0
HOST = "hooks.example"


@asynccontextmanager
async def calling(server: Web, allow: str = "127.0.0.0/8", names: Names | None = None) -> AsyncIterator[Outbound]:
    async with open_outbound(server.settings(allow), resolve=names or Names(hooks_example=[["127.0.0.1"]])) as outbound:
        yield outbound


async def fetched(*answers: Answer, max_bytes: int = 100_000, deadline: float = SECONDS) -> Fetched:
    async with web(*answers) as server, calling(server) as outbound:
        return await outbound.get(server.url(), max_bytes=max_bytes, deadline=deadline)


async def test_what_stands_there_is_fetched_by_name() -> None:
    """The server is told the name that was asked for; body, status and headers come back."""
    async with web(answer(200, b"hello", content_type="text/plain")) as server, calling(server) as outbound:
        found = await outbound.get(
            server.url("/a?b=c", HOST), max_bytes=5, deadline=SECONDS, headers={"if-none-match": '"7"'}
        )
    assert (found.status, found.body, found.headers["content-type"]) == (200, b"hello", "text/plain")
    assert found.url == server.url("/a?b=c", HOST)
    [heard] = server.heard
    assert (heard.method, heard.target, heard.headers["host"]) == ("GET", "/a?b=c", f"{HOST}:{server.port}")
    assert heard.headers["if-none-match"] == '"7"'


async def test_content_is_posted() -> None:
    """As it is, with its length; the answer's body is left unread, however long."""
    async with web(forever(b"x" * 65536)) as server, calling(server) as outbound:
        reply = await outbound.post(server.url(), content=b"{}", headers={"webhook-id": "msg_1"}, deadline=SECONDS)
    assert reply.status == 200
    assert (server.heard[0].body, server.heard[0].headers["webhook-id"]) == (b"{}", "msg_1")


async def test_a_name_that_means_another_address_by_then_is_not_followed_there() -> None:
    """What was public when it was checked is judged again when the connection is made, and that address is used."""
    names = Names(hooks_example=[["1.1.1.1"], ["127.0.0.1"]])
    async with web(answer(200)) as server, calling(server, allow="", names=names) as outbound:
        await outbound._destinations.admit(server.url(host=HOST))
        with pytest.raises(UrlRefused):
            await outbound.get(server.url(host=HOST), max_bytes=5, deadline=SECONDS)
    assert server.heard == []
    assert names.asked == [HOST, HOST]


async def test_a_name_is_looked_up_once_for_a_connection() -> None:
    """Nobody asks a second time between the judgement and the connection."""
    names = Names(hooks_example=[["127.0.0.1"], ["10.0.0.1"]])
    async with web(answer(200)) as server, calling(server, names=names) as outbound:
        await outbound.get(server.url(host=HOST), max_bytes=5, deadline=SECONDS)
    assert names.asked == [HOST]


async def test_another_address_is_tried_when_the_first_does_not_answer() -> None:
    """As long as there is one."""
    names = Names(hooks_example=[["127.1.2.3", "127.0.0.1"]])  # the server listens on the second alone
    async with web(answer(200)) as server, calling(server, names=names) as outbound:
        found = await outbound.get(server.url(host=HOST), max_bytes=5, deadline=SECONDS)
    assert found.status == 200


async def test_redirects_are_followed_and_each_is_judged() -> None:
    """A relative one, one to another host; the last address is told."""
    async with web(answer(302, location="/b"), answer(200, b"here")) as server, calling(server) as outbound:
        found = await outbound.get(server.url("/a", HOST), max_bytes=5, deadline=SECONDS)
        assert (found.body, found.url) == (b"here", server.url("/b", HOST))
    assert [heard.target for heard in server.heard] == ["/a", "/b"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:5432/",
        "file:///etc/passwd",
        "//user@hooks.example/",
        "http://[::1/",
        "javascript:alert(1)",
        "http://inner.example:{port}/",
    ],
)
async def test_a_redirect_inside_is_refused(location: str) -> None:
    """It is no way around the judgement of the first address."""
    names = Names(hooks_example=[["127.0.0.1"]], inner_example=[["10.0.0.1"]])
    async with web(answer(200)) as server, calling(server, names=names) as outbound:
        led = answer(302, location=location.format(port=server.port))
        async with (
            web(led) as first,
            open_outbound(
                OutboundSettings(allow="127.0.0.0/8", ports=f"{server.port},{first.port}"), resolve=names
            ) as outbound,
        ):
            with pytest.raises(UrlRefused):
                await outbound.get(first.url(host=HOST), max_bytes=5, deadline=SECONDS)
    assert server.heard == []


async def test_redirects_end() -> None:
    """A server that leads in circles is left after five."""
    async with web(answer(307, location="/")) as server, calling(server) as outbound:
        with pytest.raises(UrlRefused):
            await outbound.get(server.url(), max_bytes=5, deadline=SECONDS)
    assert len(server.heard) == 6


async def test_another_host_is_told_none_of_our_headers() -> None:
    """A redirect must not carry what was meant for the first host."""
    names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    async with web(answer(200)) as other, web(answer(301, location=other.url("/", "other.example"))) as first:
        settings = OutboundSettings(allow="127.0.0.0/8", ports=f"{first.port},{other.port}")
        async with open_outbound(settings, resolve=names) as outbound:
            given = {"authorization": "Bearer secret"}
            await outbound.get(first.url("/", HOST), max_bytes=5, deadline=SECONDS, headers=given)
    assert first.heard[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in other.heard[0].headers


async def test_a_post_is_not_redirected() -> None:
    """The content is for one receiver."""
    async with web(answer(307, location="/b")) as server, calling(server) as outbound:
        reply = await outbound.post(server.url(), content=b"{}", headers={}, deadline=SECONDS)
    assert (reply.status, len(server.heard)) == (307, 1)


async def test_cookies_are_not_kept() -> None:
    """One tenant's calls say nothing of another's."""
    async with web(answer(200, set_cookie="a=b")) as server, calling(server) as outbound:
        for _ in range(2):
            await outbound.get(server.url(), max_bytes=5, deadline=SECONDS)
    assert "cookie" not in server.heard[1].headers


async def test_packed_bodies_are_unpacked() -> None:
    """gzip and deflate, which were asked for."""
    packed = answer(200, gzip.compress(b"hello"), content_encoding="gzip")
    assert (await fetched(packed)).body == b"hello"
    assert (await fetched(answer(200, zlib.compress(b"hello"), content_encoding="deflate"))).body == b"hello"


@pytest.mark.parametrize(
    "too_much",
    [
        answer(200, b"x" * 100_001),
        forever(b"x" * 65536),
        answer(200, gzip.compress(bytes(200_000_000)), content_encoding="gzip"),
        answer(200, b"2\r\nxx\r\n" * 50_001 + b"0\r\n\r\n", transfer_encoding="chunked"),
        answer(200, gzip.compress(b"") * 10_000, content_encoding="gzip"),
    ],
    ids=["long", "endless", "bomb", "chunks", "packed nothing"],
)
async def test_more_than_is_wanted_is_not_read(too_much: Answer) -> None:
    """Neither on the wire nor unpacked, whatever length was announced."""
    with pytest.raises(FetchTooLarge):
        await fetched(too_much)


@pytest.mark.parametrize(
    "said",
    [
        hang(),
        raw(b""),
        raw(b"not http\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"y" * 300_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"x-many: y\r\n" * 30_000 + b"\r\n"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        answer(200, b"not packed", content_encoding="gzip"),
        answer(200, b"\x1b", content_encoding="br"),
        answer(200, gzip.compress(b"x"), content_encoding="gzip, gzip, gzip, gzip, gzip"),
        answer(200, b"zz\r\n", transfer_encoding="chunked"),
    ],
)
async def test_what_is_no_answer_is_unreachable(said: Answer) -> None:
    """Silence, nonsense, headers without end, a body cut off: one error, and nothing of what was said."""
    with pytest.raises(UrlUnreachable) as unreachable:
        await fetched(said, deadline=2.0)
    assert "yyy" not in str(unreachable.value)


async def test_a_slow_drip_ends_at_the_deadline() -> None:
    """Which is for the whole, not between two bytes."""

    async def drip(_request: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    with pytest.raises(UrlUnreachable):
        await fetched(drip, deadline=1.0)


async def test_nobody_there_is_unreachable() -> None:
    """Neither a name without an address nor a port without a listener."""
    async with web(answer(200)) as server:
        pass
    async with calling(server) as outbound:
        for url in (server.url(), server.url(host="unknown.example")):
            with pytest.raises(UrlUnreachable):
                await outbound.get(url, max_bytes=5, deadline=SECONDS)


async def test_proxies_of_the_environment_are_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to whatever it resolves the name to."""
    async with web(answer(200)) as proxy, web(answer(200)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        async with calling(server) as outbound:
            await outbound.get(server.url(host=HOST), max_bytes=5, deadline=SECONDS)
    assert (len(server.heard), proxy.heard) == (1, [])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


def _client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_the_certificate_is_checked_against_the_name(authority: trustme.CA) -> None:
    """Not against the address that is connected to; the name is what the server is told (SNI)."""
    told = list[str | None]()
    server_side = _server_side(authority, HOST)
    server_side.sni_callback = lambda _socket, name, _context: told.append(name)
    names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    async with web(answer(200, b"safe"), tls=server_side) as server:
        async with open_outbound(server.settings(), resolve=names, tls=_client_side(authority)) as outbound:
            found = await outbound.get(server.url("/", HOST, "https"), max_bytes=5, deadline=SECONDS)
            with pytest.raises(UrlUnreachable):
                await outbound.get(server.url("/", "other.example", "https"), max_bytes=5, deadline=SECONDS)
        async with calling(server) as stranger:
            with pytest.raises(UrlUnreachable):
                await stranger.get(server.url("/", HOST, "https"), max_bytes=5, deadline=SECONDS)
    assert found.body == b"safe"
    assert told == [HOST, "other.example", HOST]


async def test_https_does_not_lead_to_http(authority: trustme.CA) -> None:
    """What was asked for safely is not fetched in the open."""
    async with (
        web(answer(200)) as plain,
        web(answer(301, location=plain.url("/", HOST)), tls=_server_side(authority, HOST)) as safe,
    ):
        settings = OutboundSettings(allow="127.0.0.0/8", ports=f"{plain.port},{safe.port}")
        names = Names(hooks_example=[["127.0.0.1"]])
        async with open_outbound(settings, resolve=names, tls=_client_side(authority)) as outbound:
            with pytest.raises(UrlRefused):
                await outbound.get(safe.url("/", HOST, "https"), max_bytes=5, deadline=SECONDS)
    assert plain.heard == []


async def test_a_handshake_that_hangs_ends(authority: trustme.CA) -> None:
    """A server that takes the connection and is silent holds us no longer than any other."""
    tls = _client_side(authority)  # the server speaks none: it waits for a request line
    async with web(hang()) as server, open_outbound(server.settings(), tls=tls) as outbound:
        with pytest.raises(UrlUnreachable):
            await outbound.get(server.url(scheme="https"), max_bytes=5, deadline=1.0)
