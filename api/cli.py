"""`pincite serve`."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.working import working
from retrieval.database.reaching import database_reached
from retrieval.engine import open_engine
from retrieval.errors import InvalidSettings
from retrieval.exporting import exporting
from retrieval.settings import Settings

_STREAMS_MAY_FINISH = 2.0  # seconds after the signal in which open streams may end by themselves
_ALL_MUST_END = 5  # seconds after the signal at which whatever is left is cut


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: PINCITE_API_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any free one [default: PINCITE_API_PORT]")] = None,
) -> None:
    """Serve the HTTP API and the page."""
    settings = Settings()
    listener = _listener(settings.api.host if host is None else host, settings.api.port if port is None else port)
    try:
        asyncio.run(_serve(settings, listener))
    except (KeyboardInterrupt, asyncio.CancelledError):  # stopped before it had started
        raise typer.Exit(130) from None


def _listener(host: str, port: int) -> socket.socket:
    # Bound before the models are loaded: a port in use is known at once. It refuses callers until uvicorn listens.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise InvalidSettings(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return listener


async def _serve(settings: Settings, listener: socket.socket) -> None:
    starting = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if starting is not None:
        loop.add_signal_handler(signal.SIGTERM, starting.cancel)
    await database_reached(settings.database)
    with exporting(settings.telemetry):
        await _serve_until_stopped(settings, listener)


async def _serve_until_stopped(settings: Settings, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async with open_engine(settings) as engine, working(settings, engine):
        server = _Server(app := create_app(settings, engine))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        try:
            await server.serve(sockets=[listener])
        finally:
            await app.state.writing.close()
            await app.state.kept.close()


class _Server(uvicorn.Server):
    """Uvicorn that says where it listens and ends open streams in time, inside a life that closes the engine."""

    def __init__(self, asgi: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                asgi,
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=_ALL_MUST_END,
                lifespan="off",
            )
        )
        self._stopping: asyncio.Event = asgi.state.stopping

    def stop(self) -> None:
        """Takes no new requests and ends the open ones: first by themselves, then with an event, then by force."""
        self.force_exit = self.should_exit
        self.should_exit = True
        asyncio.get_running_loop().call_later(_STREAMS_MAY_FINISH, self._stopping.set)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn's own raises the signal once more at the end, which would kill us before the engine is closed.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or []:
            typer.echo(f"Pincite is listening on {_url(listening)}")


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
