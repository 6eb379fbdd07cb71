"""What every request and response goes through: a request id, a size limit, security headers, a last resort."""

import re
import secrets
from collections.abc import Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import INTERNAL_ERROR, INTERNAL_MESSAGE, error_response, logger

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
}


class Envelope:
    """Gives every response an `X-Request-ID` (the client's own when sane), what is said of rate limits, and the
    security headers.

    An exception that nobody expected becomes a 500 here, logged with the request's id and never shown.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        started = False
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def enveloped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(scope["state"].get("rate_limit", {}))
                _seal(headers, request_id)
            await send(message)

        try:
            await self.app(scope, receive, enveloped)
        except Exception:
            if started:
                raise  # the server cuts the connection: the only honest end left
            logger.exception("request %s failed", request_id)
            await error_response(request_id, 500, INTERNAL_ERROR, INTERNAL_MESSAGE)(scope, receive, enveloped)


class BodyLimit:
    """Refuses bodies over `max_bytes` with a 413, announced or chunked, before more than that is held; `larger` has
    the limits of addresses that take more.

    Not FastAPI's `max_body_size`: that one answers some requests in plain text, outside our one error body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int]) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.larger.get(scope["path"], self.max_bytes)
        if _announced(scope) > most:
            request_id = scope["state"]["request_id"]
            message = f"the request body may take {most} bytes"
            # The rest of the body is on its way: without this it would be read as the next request.
            headers = {"Connection": "close"}
            await error_response(request_id, 413, "body_too_large", message, headers)(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        await self.app(scope, limited, send)


def _request_id(presented: str) -> str:
    return presented if _SANE_ID.fullmatch(presented) else secrets.token_hex(8)


def _seal(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    for name, value in _HEADERS.items():
        headers[name] = value
    # Answers and documents belong to whoever asked: no cache may keep them.
    headers.setdefault("Cache-Control", "no-store")


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0
