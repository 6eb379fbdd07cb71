"""A local S3 (moto's) that counts what it is asked, and breaks off where a test says."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import boto3
import httpx2
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Answer = tuple[int, bytes]
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class S3Server:
    """A running server. `objects` are the keys that were read; `spoil` may answer a request in S3's place."""

    url: str = ""
    objects: list[str] = field(default_factory=list)
    spoil: Callable[[str, str], Answer | None] = lambda _path, _query: None

    def client(self) -> Any:
        """A client of the account whose keys the tests set."""
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.url, **keys)

    def wrap(self, app: App) -> App:
        """The application, watched and spoilt."""

        def watched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
            if environ["REQUEST_METHOD"] == "GET" and path.count("/") > 1 and path.rstrip("/") != "/papers":
                self.objects.append(path.removeprefix("/papers/"))
            spoilt = self.spoil(path, query) if environ["REQUEST_METHOD"] == "GET" else None
            if spoilt is None:
                return app(environ, start)
            start(f"{spoilt[0]} Spoilt", [("content-type", "application/xml"), ("content-length", "9999")])
            return [spoilt[1]]

        return watched


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object, **__: object) -> None:
        """Says nothing."""


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with the empty bucket `papers`."""
    running = S3Server()
    app = running.wrap(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    running.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        httpx2.post(f"{running.url}/moto-api/reset").raise_for_status()
        running.client().create_bucket(Bucket="papers")
        running.objects.clear()
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
