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
                self.telemetry.responded(_route(scope), message["status"])
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)


def _route(scope: Scope) -> str:
    # The router writes into this very scope; a request refused before it has no route.
    return getattr(scope.get("route"), "path", _NO_ROUTE)
