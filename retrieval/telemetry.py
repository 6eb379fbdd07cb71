"""What an operator watches: counts and durations of this process, in Prometheus' terms.

Each `Telemetry` has a registry of its own and is handed on explicitly, so several services can run in one process.
A label's values are a short list known in the code: never a tenant, a principal, or a word of anybody's.
"""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

from retrieval.domain import (
    AnswerFinished,
    CacheUse,
    Degradation,
    DensePath,
    Guarded,
    Outcome,
    Retrieval,
    StepTaken,
    TierReason,
)
from retrieval.model_calls import ModelCallMeasures
from retrieval.settings import TelemetrySettings
from retrieval.standings import Standings
from retrieval.tracing import annotate

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (10, 100, 1_000, 5_000, 20_000, 100_000, 1_000_000)
_LIFE = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
_TENTHS = tuple(tenth / 10 for tenth in range(11))
_NO_PATH = "none"
_FAILED = "failed"
DeliveryState = Literal["pending", "delivered", "failed"]


class Telemetry:
    """Counts what it is told. Its methods take tens of microseconds, never wait and never raise."""

    def __init__(self, *, content: bool = False) -> None:
        """`content`: spans of model calls hold what was said, redacted."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.model_calls = ModelCallMeasures(self.registry, content=content)
        self._stages = self._histogram("search_stage_seconds", "A search's stages, and its total", "stage", _SECONDS)
        self._plans = self._counter("search_plans", "Paths of searches by meaning", "path", (*DensePath, _NO_PATH))
        self._visible = self._histogram("search_visible_chunks", "Chunks the asker sees, as planned", None, _ROWS)
        self._examined = self._histogram("search_rows_examined", "Chunks compared, word postings read", "leg", _ROWS)
        self._degradations = self._counter("degradations", "What gave way, by code", "code", Degradation)
        self._answers = self._counter("answers", "Answers, by how they ended", "outcome", (*get_args(Outcome), _FAILED))
        self._steps = self._counter("tool_steps", "Tool calls of models", ("tool", "outcome"))
        self._guarded = self._counter(
            "guarded", "Taken out of answers, by what it was", "what", (one.name for one in fields(Guarded))
        )
        self._tiers = self._counter("tiers", "Answers, by why their tier of models wrote them", "reason", TierReason)
        self._cache = self._counter("answer_cache", "Answers, by what the cache did", "use", get_args(CacheUse))
        self._unlimited = Counter(
            "pincite_rate_limits_not_kept", "Times the counts of requests could not be kept", registry=self.registry
        )
        self._requests = self._counter("http_requests", "Responses, by route", ("route", "status"))
        self._recall = self._histogram("shadow_recall", "Recall@10 of walked searches done again", "path", _TENTHS)
        visible, invisible = "From its submission to the first search that can find it", "From asking to no search"
        self._became_visible = self._histogram("document_visible_seconds", visible, None, _LIFE)
        self._became_invisible = self._histogram("document_invisible_seconds", invisible, None, _SECONDS + _LIFE[4:])
        self._deliveries = self._counter(
            "webhook_deliveries", "Attempts to deliver, by what came of them", "outcome", get_args(DeliveryState)
        )
        self.standings = Standings(self.registry)
        self._shadows = self._counter(
            "shadow_searches", "Searches drawn to be done again", "outcome", ("compared", "dropped", _FAILED)
        )

    def searched(self, retrieval: Retrieval, postings: int) -> None:
        """A search came to its end; looking up its words read at most so many `postings`.

        Rows examined by meaning are told where they are known: an exact search compares all that are visible.
        """
        for stage, milliseconds in retrieval.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1000)
        self._examined.labels("lexical").observe(_rough(postings))
        self._degraded(retrieval.degraded)
        plan = retrieval.plan
        annotate(
            {
                "pincite.passages": len(retrieval.passages),
                "pincite.degraded": list(retrieval.degraded),
                "pincite.plan": plan.path if plan else _NO_PATH,
            }
        )
        self._plans.labels(plan.path if plan else _NO_PATH).inc()
        if plan is not None:
            self._visible.observe(_rough(plan.visible_chunks))
            if plan.path is DensePath.EXACT:
                self._examined.labels("dense").observe(_rough(plan.visible_chunks))

    def answered(self, finished: AnswerFinished, retrieval: Retrieval) -> None:
        """An answer came to a good end; what its retrieval degraded by is counted already."""
        annotate(
            {
                "pincite.outcome": finished.outcome,
                "pincite.answered_by": finished.answered_by,
                "pincite.cache": finished.cache,
                "pincite.cost_usd": float(finished.cost_usd or 0),
            }
        )
        if finished.served is not None and finished.served.reason is not None:
            annotate({"pincite.tier": finished.served.tier or "", "pincite.tier.reason": finished.served.reason})
            self._tiers.labels(finished.served.reason).inc()
        self._answers.labels(finished.outcome).inc()
        self._cache.labels(finished.cache).inc()
        self._degraded(set(finished.degraded) - set(retrieval.degraded))
        for what, times in asdict(finished.guarded).items():
            self._guarded.labels(what).inc(times)

    def answer_failed(self) -> None:
        """An answer broke off."""
        self._answers.labels(_FAILED).inc()

    def stepped(self, step: StepTaken) -> None:
        """A model called a tool."""
        self._steps.labels(step.tool, "refused" if step.refused else "found" if step.found else "nothing").inc()

    def responded(self, route: str, status: int) -> None:
        """A response began. `route` is the route's template, not the path that was asked for."""
        self._requests.labels(route, status).inc()

    def limits_not_kept(self) -> None:
        """Requests are let through uncounted for a while."""
        self._unlimited.inc()

    def became_visible(self, seconds: float) -> None:
        """A document, new or changed, can be found so long after it was submitted."""
        self._became_visible.observe(seconds)

    def became_invisible(self, seconds: float) -> None:
        """Nothing finds what was to be deleted, so long after that was asked for."""
        self._became_invisible.observe(seconds)

    def delivery_attempted(self, outcome: DeliveryState) -> None:
        """A webhook's endpoint was called, or could not be. `pending`: it is tried again."""
        self._deliveries.labels(outcome).inc()

    def shadow_compared(self, path: DensePath, recall: float) -> None:
        """A walked search was done again exactly; `recall` in [0, 1] of its ten best."""
        self._shadows.labels("compared").inc()
        self._recall.labels(path).observe(recall)

    def shadow_dropped(self) -> None:
        """A search was drawn while too many others were waiting."""
        self._shadows.labels("dropped").inc()

    def shadow_failed(self) -> None:
        """A search was drawn and could not be done again, or not in time."""
        self._shadows.labels(_FAILED).inc()

    def exposition(self) -> bytes:
        """Everything so far, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _degraded(self, codes: Iterable[Degradation]) -> None:
        for code in codes:
            self._degradations.labels(code).inc()

    def _counter(self, name: str, meaning: str, label: str | tuple[str, ...], values: Iterable[str] = ()) -> Counter:
        labels = (label,) if isinstance(label, str) else label
        counter = Counter(f"pincite_{name}", meaning, labels, registry=self.registry)
        for value in values:
            counter.labels(value)  # counted from zero: a first increase shows as one
        return counter

    def _histogram(self, name: str, meaning: str, label: str | None, buckets: Iterable[float]) -> Histogram:
        labels = () if label is None else (label,)
        return Histogram(f"pincite_{name}", meaning, labels, registry=self.registry, buckets=tuple(buckets))


def telemetry_of(settings: TelemetrySettings) -> Telemetry:
    """A service's telemetry, by its settings."""
    return Telemetry(content=settings.content == "redacted")


def _rough(rows: int) -> int:
    """Its bucket's bound: from an exact sum, whoever asks one word could read how many documents hold it."""
    return next((bound for bound in _ROWS if rows <= bound), 10 * _ROWS[-1])
