"""Token vectors of passages met before."""

import sys
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from retrieval.models.protocols import TokenVectors


class PassageCache:
    """Token vectors by passage text, the longest unused forgotten first, at most so many bytes. For any thread."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[str, TokenVectors] = OrderedDict()
        self._lock = Lock()

    def among(self, passages: Iterable[str]) -> dict[str, TokenVectors]:
        """Those of the passages that are held."""
        with self._lock:
            found = {passage: self._held[passage] for passage in passages if passage in self._held}
            for passage in found:
                self._held.move_to_end(passage)
            return found

    def put(self, passage: str, found: TokenVectors) -> None:
        """Holds a passage, unless it alone is larger than the cache."""
        size = _size(passage, found)
        if size > self._most_bytes:
            return
        with self._lock:
            before = self._held.pop(passage, None)
            self._bytes += size - (0 if before is None else _size(passage, before))
            self._held[passage] = found
            while self._bytes > self._most_bytes:
                self._bytes -= _size(*self._held.popitem(last=False))


def _size(passage: str, found: TokenVectors) -> int:
    return sys.getsizeof(passage) + found.vectors.nbytes + found.ids.nbytes
