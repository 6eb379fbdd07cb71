"""A receiver of webhooks that remembers what it was told, and by which id."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Receiver:
    """`jobs`: the ids of the messages that told of each finished job. `messages`: how often each came."""

    port: int
    jobs: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    messages: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            if len(body := self.rfile.read(length)) < length:
                return  # who told was killed half-way
            told = json.loads(body)
            with lock:
                receiver.messages[self.headers["webhook-id"]] += 1
                if told["type"] == "job.finished":
                    receiver.jobs[told["data"]["job_id"]].add(self.headers["webhook-id"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            """What it is told it remembers."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(port=server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
