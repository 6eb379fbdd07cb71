"""What is told of each call of a language model: a span and measures, by OpenTelemetry's conventions for GenAI.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ (names and buckets as of semantic conventions 1.42). The measures
stand in `/metrics` under the names that OpenTelemetry's translation gives them, and go to a collector where one is set.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from opentelemetry import metrics
from opentelemetry.trace import Span, SpanKind
from prometheus_client import CollectorRegistry, Counter, Histogram

from retrieval.domain import Usage
from retrieval.tracing import TRACER, fail

_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(4**power for power in range(14))
_CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_OPERATION = "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledModel:
    """Whose call it is. `provider` in the conventions' words; `attempt` counts an answer's calls from 1."""

    endpoint: str
    provider: str
    model: str
    attempt: int
    breaker: str
    max_tokens: int
    tier: str | None = None

    @property
    def labels(self) -> tuple[str, str, str]:
        return _OPERATION, self.provider, self.model


class ModelCallMeasures:
    """Durations, tokens and cost of calls, for Prometheus and for OpenTelemetry."""

    def __init__(self, registry: CollectorRegistry, *, content: bool = False) -> None:
        """`content`: spans hold what was said, redacted."""
        self.content = content
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "A call of a language model, to its last word",
            (*_CALL, "error_type"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "A call of a language model, to its first words",
            _CALL,
            registry=registry,
            buckets=_SECONDS,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call, by kind",
            (*_CALL, "gen_ai_token_type"),
            registry=registry,
            buckets=_TOKENS,
        )
        self._cost = Counter("pincite_llm_cost_usd", "What calls cost", _CALL, registry=registry)
        meter = metrics.get_meter("pincite")
        self._otel_duration = meter.create_histogram("gen_ai.client.operation.duration", "s")
        self._otel_first = meter.create_histogram("gen_ai.client.operation.time_to_first_chunk", "s")
        self._otel_tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}")

    def ended(self, called: CalledModel, seconds: float, error: str) -> None:
        """A call ended after so long; `error` is empty where it ended well."""
        self._duration.labels(*called.labels, error).observe(seconds)
        attributes = _attributes(called) | ({"error.type": error} if error else {})
        self._otel_duration.record(seconds, attributes)

    def began(self, called: CalledModel, seconds: float) -> None:
        """Its first words came after so long."""
        self._first.labels(*called.labels).observe(seconds)
        self._otel_first.record(seconds, _attributes(called))

    def took(self, called: CalledModel, usage: Usage, cost: Decimal) -> None:
        """So many tokens were used, at this price in USD."""
        for kind, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            self._tokens.labels(*called.labels, kind).observe(count)
            self._otel_tokens.record(count, _attributes(called) | {"gen_ai.token.type": kind})
        self._cost.labels(*called.labels).inc(float(cost))


class ModelCall:
    """A call under way. Its span ends, and its measures are taken, when the block of `model_call()` is left."""

    def __init__(self, called: CalledModel, measures: ModelCallMeasures, span: Span) -> None:
        self._called, self._measures, self._span = called, measures, span
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def began(self) -> None:
        """Its first words are there."""
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", self.seconds)
        self._measures.began(self._called, self.seconds)

    def took(self, usage: Usage, cost: Decimal) -> None:
        """What it used and cost in USD."""
        self._span.set_attributes(
            {
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
                "pincite.usage.estimated": usage.estimated,
                "pincite.cost_usd": float(cost),
            }
        )
        self._measures.took(self._called, usage, cost)

    def said(self, asked: str, answered: str) -> None:
        """What was said, as OpenTelemetry writes messages; redacted by who knows how."""
        self._span.set_attributes({"gen_ai.input.messages": asked, "gen_ai.output.messages": answered})


@contextmanager
def model_call(called: CalledModel, measures: ModelCallMeasures) -> Iterator[ModelCall]:
    """Watches the call that the block makes. The span is not made the current one: the block may be a generator's."""
    attributes = _attributes(called) | {
        "gen_ai.request.max_tokens": called.max_tokens,
        "gen_ai.request.stream": True,
        "pincite.endpoint": called.endpoint,
        "pincite.attempt": called.attempt,
        "pincite.breaker.state": called.breaker,
        **({"pincite.tier": called.tier} if called.tier else {}),
    }
    span = TRACER.start_span(f"{_OPERATION} {called.model}", kind=SpanKind.CLIENT, attributes=attributes)
    call, error = ModelCall(called, measures, span), ""
    try:
        yield call
    except BaseException as failure:
        error = type(failure).__name__
        fail(span, failure)
        raise
    finally:
        measures.ended(called, call.seconds, error)
        span.end()


def _attributes(called: CalledModel) -> dict[str, str | int | bool]:
    operation, provider, model = called.labels
    return {"gen_ai.operation.name": operation, "gen_ai.provider.name": provider, "gen_ai.request.model": model}
