"""Sends spans and metrics to an OpenTelemetry collector: from threads of its own, dropped when there are too many.

Sampling, queue lengths, headers and time-outs are OpenTelemetry's own settings (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
`OTEL_EXPORTER_OTLP_HEADERS`, …).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import metrics, trace

from retrieval.settings import TelemetrySettings

_log = structlog.get_logger(__name__)

_TIMEOUT = 2
"""Seconds that an export may take: a collector that does not answer must not hold up a shutdown."""


@contextmanager
def exporting(settings: TelemetrySettings) -> Iterator[None]:
    """Exports for as long as the block runs, where an address is set. Never raises for its own sake."""
    if settings.otlp_endpoint is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("telemetry_not_exported", reason="install pincite[otel]")
        yield
        return
    resource = Resource.create({"service.name": settings.service_name})
    base = settings.otlp_endpoint.rstrip("/")
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=_TIMEOUT)))
    measuring = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=_TIMEOUT))], resource
    )
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(measuring)
    try:
        yield
    finally:
        measuring.shutdown(timeout_millis=1000 * _TIMEOUT)
        tracing.shutdown()
