"""Readiness, asked often and by anyone, looked up seldom."""

import asyncio
import time

import structlog

from retrieval.engine import Engine
from retrieval.readiness import PartState, Readiness, readiness

_KEPT_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class ReadinessProbe:
    """Asks the parts at most once in `kept` seconds, however many ask it: `/readyz` is open to all and parts cost.

    Why a part is unavailable goes to the log when its state changes, and to nobody else: it may name paths.
    """

    def __init__(self, kept: float = _KEPT_SECONDS) -> None:
        self._kept = kept
        self._latest: Readiness | None = None
        self._fresh_until = 0.0
        self._asking = asyncio.Lock()

    async def readiness(self, engine: Engine) -> Readiness:
        """The parts' states, at most `kept` seconds old."""
        async with self._asking:  # whoever comes while the parts are being asked waits for the same result
            if self._latest is None or time.monotonic() >= self._fresh_until:
                found = await readiness(engine)
                _log_changes(self._latest, found)
                self._latest, self._fresh_until = found, time.monotonic() + self._kept
            return self._latest


def _log_changes(before: Readiness | None, now: Readiness) -> None:
    for name, part in now.parts.items():
        if _is_news(before.parts.get(name) if before else None, part):
            _log.warning("part_state_changed", part=name, state=part.state, detail=part.detail)


def _is_news(before: PartState | None, now: PartState) -> bool:
    return now.state == "unavailable" if before is None else now.state != before.state
