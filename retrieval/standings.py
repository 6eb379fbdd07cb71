"""How things stand in all of the database, as whoever of the workers looked last saw it."""

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

_FRESH = 180.0
"""Seconds after which what was seen is not told any more: another worker looks now."""

STANDINGS: Mapping[str, str] = {
    "queue_waiting_documents": "Documents that wait to be indexed or are worked on, counted up to 10000 of a tenant",
    "queue_failed_documents": "Documents that failed and are kept to be tried again, counted likewise",
    "queue_oldest_waiting_seconds": "Since when the oldest document waits",
    "webhook_oldest_undelivered_seconds": "Since when the oldest message to an enabled endpoint waits",
    "webhook_disabled_endpoints": "Endpoints that are told nothing",
}


class Standings(Collector):
    """Gauges that vanish when they grow old. Each minute one of all workers looks, not each of them."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = dict[str, tuple[float, float]]()
        registry.register(self)

    def saw(self, **values: float) -> None:
        """These stand so now."""
        now = self._clock()
        self._seen |= {name: (value, now) for name, value in values.items()}

    def collect(self) -> Iterator[Metric]:
        """What was seen lately."""
        for name, (value, at) in self._seen.copy().items():
            if self._clock() - at <= _FRESH:
                yield GaugeMetricFamily(f"pincite_{name}", STANDINGS[name], value=value)

    def describe(self) -> Iterator[Metric]:
        """What may be told."""
        for name, meaning in STANDINGS.items():
            yield GaugeMetricFamily(f"pincite_{name}", meaning)
