"""How long documents take from being handed in to being found, and how much of all tenants waits."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from prometheus_client import start_http_server

from ingest.queueing.records import Depth, SettledRevision
from retrieval.telemetry import Telemetry

_FOUND = {"indexed", "updated"}


def observing(telemetry: Telemetry) -> Callable[[Sequence[SettledRevision]], None]:
    """Tells the telemetry of every document that can be found now as it was handed in."""

    def observe(settled: Sequence[SettledRevision]) -> None:
        now = datetime.now(UTC)
        for revision in settled:
            if revision.state in _FOUND:
                telemetry.became_visible((now - revision.submitted_at).total_seconds())

    return observe


def gauging(telemetry: Telemetry) -> Callable[[Sequence[Depth]], None]:
    """Tells the telemetry how all tenants' lines stand."""

    def gauge(depths: Sequence[Depth]) -> None:
        telemetry.standings.saw(
            queue_waiting_documents=sum(depth.waiting for depth in depths),
            queue_failed_documents=sum(depth.failed for depth in depths),
            queue_oldest_waiting_seconds=max((depth.oldest for depth in depths), default=0.0),
        )

    return gauge


def serve_measures(telemetry: Telemetry, port: int | None) -> None:
    """Prometheus' page of a worker, on that port, until the process ends; None: nowhere."""
    if port is not None:
        start_http_server(port, registry=telemetry.registry)
