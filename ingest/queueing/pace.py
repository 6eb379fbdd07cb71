"""How much a worker takes at once: about a second's work, whatever the machine and the model."""

from threading import Lock

_SECONDS = 1.0
"""A batch's time: a tenant whose turn is next waits for so long, and a model call is still worth its while."""
_LEAST, _MOST = 8 * 1024, 256 * 1024
"""Bytes of a batch: some 8 chunks of text, some 250."""
_FIRST = 32 * 1024
_MEMORY = 0.5
"""Weight of what was before in the running mean."""


class Pace:
    """What the turns of one worker share. Use it from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rate = _FIRST / _SECONDS

    def worked(self, size: int, seconds: float) -> None:
        """A batch of so many bytes took so long."""
        with self._lock:
            self._rate = _MEMORY * self._rate + (1 - _MEMORY) * size / max(seconds, 1e-3)

    @property
    def most_bytes(self) -> int:
        """How many bytes are to be taken together."""
        return round(min(max(self._rate * _SECONDS, _LEAST), _MOST))
