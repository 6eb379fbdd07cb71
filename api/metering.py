"""Counts responses by route and status."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.telemetry import Telemetry

_NO_ROUTE = "none"


class Metering:
    """Counts each response as it begins, under its route's template: what was asked for stays out of the metrics."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.telemetry.responded(route_of(scope), message["status"])
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)


def route_of(scope: Scope) -> str:
    """The route's template; `none` where a request was refused before it had one."""
    # The router writes into this very scope.
    return getattr(scope.get("route"), "path", _NO_ROUTE)
