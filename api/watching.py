"""A line in the log for each request, its id in its span."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metering import route_of
from retrieval.tracing import annotate

_log = structlog.get_logger("pincite.access")
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds for ever: only what fails is news."""


class Watching:
    """Logs each response at its last byte, if that is wanted, but for probes that went well.

    FastAPI itself makes the request's span. What was asked, and of which tenant, is in neither: routes are templates.
    """

    def __init__(self, app: ASGIApp, access_log: bool) -> None:
        self.app = app
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        annotate({"pincite.request_id": scope["state"]["request_id"]})
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            if self.access_log and not (route_of(scope) in _PROBES and status < 400):
                ms = round((time.perf_counter() - begun) * 1000, 1)
                _log.info("request", method=scope["method"], route=route_of(scope), status=status, ms=ms)
