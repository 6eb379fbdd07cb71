"""A local website that is told what to answer, and remembers what it was asked and what it gave."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass
class Page:
    """What stands at a path. One with validators answers 304 to who has it already."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "text/html; charset=utf-8"
    validators: bool = True


@dataclass
class Site:
    """A running website."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def links(self, path: str, *out: str, head: str = "", text: str = "") -> None:
        """Puts a page there that links to others."""
        anchors = "".join(f'<a href="{link}">{link}</a> ' for link in out)
        words = text or f"The page {path} is about pumps."
        self.pages[path] = Page(f"<html><head><title>{path}</title>{head}</head><body><p>{words}</p>{anchors}</body>")

    def answer(self, request: Request) -> Response:
        """What stands at the path asked for, whose spelling counts."""
        path = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        self.asked.append(path)
        page = self.pages.get(path, Page(status=404, body="gone", validators=False))
        body = page.body.encode() if isinstance(page.body, str) else page.body
        headers = {"content-type": page.kind, **page.headers}
        if page.validators and page.status == 200:
            headers["etag"] = f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324 - no secret
            if request.headers.get("if-none-match") == headers["etag"]:
                return Response(status_code=304, headers=headers)
        self.given.append(path)
        return Response(body, page.status, headers=headers)


@contextmanager
def website_server() -> Iterator[Site]:
    """A website without a page."""
    site = Site()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        app = Starlette(routes=[Route("/{path:path}", site.answer)])
        running = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield site
        finally:
            running.should_exit = running.force_exit = True
            thread.join(10)
