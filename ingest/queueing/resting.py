"""When the embedder gives way, a worker rests instead of asking for one document after the other."""

import random
import time
from threading import Lock

_FIRST, _LONGEST = 2.0, 300.0
"""Seconds of the first rest, and of the longest: each is twice the one before, with jitter."""


class Rest:
    """What the turns of one worker share. Use it from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until = 0.0
        self._times = 0

    def begin(self, at_least: float | None) -> float:
        """Nothing is to be asked for so many seconds; `at_least`: what the embedder itself asked for."""
        with self._lock:
            if (left := self._until - time.monotonic()) > 0:
                return max(left, at_least or 0.0)
            longest = min(_LONGEST, _FIRST * 2**self._times)
            self._times += 1
            seconds = max(random.uniform(longest / 2, longest), at_least or 0.0)  # noqa: S311 - jitter, not a secret
            self._until = time.monotonic() + seconds
            return seconds

    def end(self) -> None:
        """The embedder answered."""
        with self._lock:
            self._until, self._times = 0.0, 0

    @property
    def left(self) -> float:
        """Seconds until it may be asked again; 0: now."""
        return max(0.0, self._until - time.monotonic())
