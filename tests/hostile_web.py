"""A web server that answers byte by byte as it is told, and a name server that says what a test wants.

    async with web(answer(500), answer(200)) as server: ...

Each request takes the next answer; the last one repeats.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from retrieval.settings import OutboundSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Web:
    """The server: its port, and what it was asked so far."""

    port: int
    heard: list[Heard] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def settings(self, allow: str = "127.0.0.0/8") -> OutboundSettings:
        """Settings by which this server may be called."""
        return OutboundSettings(allow=allow, ports=str(self.port))


@asynccontextmanager
async def web(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """A server on a port of its own that closes each connection after one answer."""
    said = Web(port=0)
    serving = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        # Ended by the test's end too: asyncio would complain of a handler that was cancelled.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            request = await _heard(reader)
            said.heard.append(request)
            await answers[min(len(said.heard), len(answers)) - 1](request, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", ssl=tls)
    said.port = server.sockets[0].getsockname()[1]
    try:
        yield said
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)
        await server.wait_closed()


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer; `content_type` stands for the header `content-type`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    length = [] if "transfer_encoding" in headers or "content_length" in headers else [f"content-length: {len(body)}"]
    head = "\r\n".join([f"HTTP/1.1 {status} Said", *lines, *length, "connection: close", "", ""])
    return raw(head.encode() + body)


def raw(said: bytes) -> Answer:
    """These bytes."""

    async def say(_request: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    return say


def forever(said: bytes) -> Answer:
    """These bytes again and again, until the other side has enough."""

    async def say(_request: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(said)
            await writer.drain()
            await asyncio.sleep(0)  # the test is in the same loop

    return say


def hang() -> Answer:
    """Not a word."""

    async def say(_request: Heard, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return say


class Names:
    """A name server: each look-up of a host takes the next of its answers; the last one repeats."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {host.replace("_", "."): list(said) for host, said in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._answers:
            raise OSError("no such name")
        said = self._answers[host]
        return said.pop(0) if len(said) > 1 else said[0]


async def _heard(reader: asyncio.StreamReader) -> Heard:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(method=method, target=target, headers=headers, body=body)
