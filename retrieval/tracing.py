"""Spans of one request, from HTTP through the stages to SQL and to the providers.

Only OpenTelemetry's API is used here: until `retrieval/exporting.py` installs an exporter nothing is recorded, and a
span costs microseconds. Attributes are names, counts and codes: never a word of a question, document or answer.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from retrieval.errors import PinciteError

TRACER = trace.get_tracer("pincite")


@contextmanager
def span(
    name: str, attributes: Mapping[str, str | int] | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Span]:
    """A span around the block, under the current one. What the block raises is named in it, and raised on.

    Not for a block that yields: the current span is the task's, not the generator's.
    """
    with TRACER.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            fail(current, error)
            raise


def fail(failing: Span, error: BaseException) -> None:
    """Notes why it failed, by class: messages may hold what somebody wrote. Given up by its reader is no failure."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        failing.set_attribute("pincite.cancelled", True)
        return
    failing.set_status(StatusCode.ERROR)
    failing.set_attribute("error.type", error.code if isinstance(error, PinciteError) else type(error).__qualname__)


def annotate(attributes: Mapping[str, str | int | float | bool | list[str]]) -> None:
    """Adds to the span that the caller runs in."""
    trace.get_current_span().set_attributes(attributes)
