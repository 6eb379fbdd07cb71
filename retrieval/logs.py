"""Logs: one line per event on stderr, of our own and of libraries, with the request's id and its trace."""

import logging
import sys

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from retrieval.settings import TelemetrySettings


def configure(settings: TelemetrySettings) -> None:
    """Sends every log line to stderr, as text for people or as JSON for programs."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if settings.log_format == "json" else _LOCAL_TIME,
        _with_trace,
    ]
    structlog.configure(
        processors=[*shared, *_rendered(settings)], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered(settings)],
        )
    )
    # Warnings only: at INFO, HTTP clients log each address that they ask.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


# Without the local variables that structlog's own show: questions, documents and keys are among them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_LOCAL_TIME = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)


def _rendered(settings: TelemetrySettings) -> list[Processor]:
    if settings.log_format == "json":
        return [_TRACEBACKS, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.StackInfoRenderer(), console]


def _with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
