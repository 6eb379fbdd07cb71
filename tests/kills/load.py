"""Clients that upload, update, re-permission and delete, each on documents of its own, and remember what was
acknowledged. What is not is asked again, as a client does: with the same key."""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2

EVERYONE, ENGINEERS, PEOPLE = "everyone", "group:eng", "group:hr"
_DOCUMENTS = 12
"""Of each client."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a document is to be once all is done."""

    document_id: str
    text: str
    allow: str


@dataclass(kw_only=True)
class Client:
    """One client; `errors` are promises that were broken while it looked."""

    name: str
    url: str
    key: str
    seed: int
    stopping: threading.Event
    expected: dict[str, Expected] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    uploads: int = 0
    operations: int = 0
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Works until it is stopped; what it has begun by then it brings to its end."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        with httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=20) as http:
            while not self.stopping.is_set():
                uri = f"{self.name}/{chance.randrange(_DOCUMENTS)}.txt"
                known = self.expected.get(uri)
                kind = chance.choices(["upload", "permit", "delete"], [55, 20, 25])[0] if known else "upload"
                allow = chance.choice([EVERYONE, ENGINEERS, PEOPLE])
                if known is None or kind == "upload":
                    self._upload(http, uri, allow)
                elif kind == "permit":
                    self._permit(http, uri, known, allow)
                else:
                    self._delete(http, uri, known)
                self.operations += 1

    def _upload(self, http: httpx2.Client, uri: str, allow: str) -> None:
        text = f"The secret word of this note is zq{uuid4().hex}."
        body = {"uri": uri, "text": text, "allow": [allow]}
        answer = self._until(http, "PUT", "/v1/documents", {202, 200}, body, {"Idempotency-Key": uuid4().hex})
        self.uploads += 1
        self.deleted.discard(uri)
        self.expected[uri] = Expected(document_id=str(answer.json()["document_id"]), text=text, allow=allow)

    def _permit(self, http: httpx2.Client, uri: str, known: Expected, allow: str) -> None:
        self._until(http, "PATCH", f"/v1/documents/{known.document_id}", {200}, {"allow": [allow]})
        self.expected[uri] = Expected(document_id=known.document_id, text=known.text, allow=allow)
        for principal in {ENGINEERS, PEOPLE} - {allow} if allow != EVERYONE else set[str]():
            self._look(http, uri, known.text, [principal], "seen by whom it was taken from")

    def _delete(self, http: httpx2.Client, uri: str, known: Expected) -> None:
        # 404: the answer to the first time was lost.
        self._until(http, "DELETE", f"/v1/documents/{known.document_id}", {200, 204, 404})
        del self.expected[uri]
        self.deleted.add(uri)
        self._look(http, uri, known.text, [ENGINEERS, PEOPLE], "seen after it was deleted")

    def _look(self, http: httpx2.Client, uri: str, text: str, principals: list[str], complaint: str) -> None:
        body = {"question": text, "limit": 20, "principals": principals}
        answer = self._until(http, "POST", "/v1/search", {200}, body)
        if any(passage["uri"] == uri for passage in answer.json()["passages"]):
            self.errors.append(f"{uri}: {complaint}")

    def _until(
        self,
        http: httpx2.Client,
        method: str,
        path: str,
        good: set[int],
        body: Mapping[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """The first good answer; refusals that time does not mend are errors."""
        end = time.monotonic() + 180
        while True:
            try:
                answer = http.request(method, path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                last = repr(error)
            else:
                if answer.status_code in good:
                    return answer
                last = f"{answer.status_code} {answer.text}"
                if answer.status_code < 500 and answer.status_code not in {409, 429}:
                    self.errors.append(f"{method} {path}: {last}")
                    return answer
            assert time.monotonic() < end, f"{method} {path}: {last}"
            time.sleep(0.1)
