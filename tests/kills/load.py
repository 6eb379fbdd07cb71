"""Clients that upload, update, re-permission and delete, each on documents of its own, and remember what was
acknowledged. What is not is asked again, as a client does: with the same key."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2

EVERYONE, ENGINEERS, PEOPLE = "everyone", "group:eng", "group:hr"
_DOCUMENTS = 12
"""Of each client."""
_PATIENCE = 300.0
"""Seconds for an operation, with all that is killed meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a document is to be once all is done."""

    document_id: str
    text: str
    allow: str


@dataclass(kw_only=True)
class Client:
    """One client, and what it was promised; `errors` are promises that were broken while it looked."""

    name: str
    url: str
    key: str
    seed: int
    stopping: threading.Event
    expected: dict[str, Expected] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    operations: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Works until it is stopped; what it has begun by then it brings to its end."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        with self._http() as http:
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
                self.operations[kind] += 1

    def look_at_all(self) -> None:
        """Searches for everything that is to be found, and for everything that is not."""
        with self._http() as http:
            for uri, known in self.expected.items():
                if uri not in self._found(http, known.text, [known.allow]):
                    self.errors.append(f"{uri}: not found")
            for uri, text in self.deleted.items():
                self._look(http, uri, text, [ENGINEERS, PEOPLE], "found after it was deleted")

    def _http(self) -> httpx2.Client:
        # What is asked again before the first time is over might be undone by it: nothing is, unless it is killed.
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=_PATIENCE)

    def _upload(self, http: httpx2.Client, uri: str, allow: str) -> None:
        text = f"The secret word of this note is zq{uuid4().hex}."
        body = {"uri": uri, "text": text, "allow": [allow]}
        answer = self._until(http, "PUT", "/v1/documents", {202, 200}, body, {"Idempotency-Key": uuid4().hex})
        self.jobs.append(str(answer.json()["job_id"]))
        self.deleted.pop(uri, None)
        self.expected[uri] = Expected(document_id=str(answer.json()["document_id"]), text=text, allow=allow)

    def _permit(self, http: httpx2.Client, uri: str, known: Expected, allow: str) -> None:
        self._until(http, "PATCH", f"/v1/documents/{known.document_id}", {200}, {"allow": [allow]})
        self.expected[uri] = Expected(document_id=known.document_id, text=known.text, allow=allow)
        for principal in {ENGINEERS, PEOPLE} - {allow} if allow != EVERYONE else set[str]():
            self._look(http, uri, known.text, [principal], "seen by whom it was taken from")

    def _delete(self, http: httpx2.Client, uri: str, known: Expected) -> None:
        # 404: the answer to the first time was lost.
        answer = self._until(http, "DELETE", f"/v1/documents/{known.document_id}", {200, 404})
        if answer.status_code == 200:
            self.receipts.append(str(answer.json()["receipt_id"]))
        del self.expected[uri]
        self.deleted[uri] = known.text
        self._look(http, uri, known.text, [ENGINEERS, PEOPLE], "seen after it was deleted")

    def _look(self, http: httpx2.Client, uri: str, text: str, principals: list[str], complaint: str) -> None:
        if uri in self._found(http, text, principals):
            self.errors.append(f"{uri}: {complaint}")

    def _found(self, http: httpx2.Client, text: str, principals: list[str]) -> set[str]:
        """The uris of documents with just this text."""
        body = {"question": text, "limit": 20, "principals": principals}
        answer = self._until(http, "POST", "/v1/search", {200}, body)
        return {passage["uri"] for passage in answer.json()["passages"] if passage["text"].strip() == text}

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
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = http.request(method, path, json=body, headers=headers)
            except httpx2.HTTPError as error:
                last = repr(error)
            else:
                if answer.status_code in good:
                    return answer
                last = f"{answer.status_code} {answer.text}"
                self.refusals[f"{answer.status_code} {answer.json()['error']['code']}"] += 1
                if answer.status_code not in {409, 429, 503}:
                    self.errors.append(f"{method} {path}: {last}")
                    return answer
            assert time.monotonic() < end, f"{method} {path}: {last}"
            time.sleep(0.1)
