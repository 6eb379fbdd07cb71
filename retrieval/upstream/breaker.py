"""A circuit breaker: a server that fails is left alone for a while, then tried with one call.

Of our own, for none of the libraries counts failures within a time, lets exactly one call probe and frees that
probe when its caller goes away (see DECISIONS.md).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from retrieval.settings import BreakerSettings
from retrieval.upstream.faults import Barred, Fault, Refused, Resting, TooLong, Undecided

_log = structlog.get_logger(__name__)

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed → `failures` within `window` seconds → open for `rest` seconds → half open: one call decides.

    A call that is abandoned (cancelled, its reader gone) or `Undecided` decides nothing, and lets the next one probe.
    """

    def __init__(self, name: str, settings: BreakerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=settings.failures)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self._settings.rest else "half_open"

    @property
    def admits(self) -> bool:
        """Whether a call would be let through now."""
        return self.state == "closed" or (self.state == "half_open" and not self._probing)

    def check(self) -> None:
        """Raises `Resting` where no call is let through now."""
        if not self.admits:
            raise Resting(f"{self._name} failed too often and is left alone for a while")

    @contextmanager
    def call(self) -> Iterator[Callable[[], None]]:
        """One call, judged by how the block ends. Raises `Resting` instead of entering it when none is let through.

        What the block is given says, when called, that the server answers: a probe closes the breaker there and then,
        and what fails later is a failure like any other.
        """
        self.check()
        probe = self.state == "half_open"
        self._probing |= probe

        def answers() -> None:
            nonlocal probe
            if probe:
                probe = self._probing = False
                self._close()

        try:
            yield answers
        except (Refused, TooLong):
            answers()  # it was the request
            raise
        except Undecided:
            raise
        except Fault as fault:
            self._count(probe, fault)
            raise
        else:
            answers()
        finally:
            self._probing &= not probe

    def _close(self) -> None:
        self._opened_at = None
        self._failures.clear()
        _log.info("breaker_closed", upstream=self._name)

    def _count(self, probe: bool, fault: Fault) -> None:
        if self._opened_at is not None and not probe:
            return  # a call from before it opened
        now = self._clock()
        self._failures.append(now)
        full = len(self._failures) == self._settings.failures
        if probe or isinstance(fault, Barred) or (full and now - self._failures[0] <= self._settings.window):
            self._opened_at = now
            _log.warning("breaker_opened", upstream=self._name, reason=str(fault), seconds=self._settings.rest)
