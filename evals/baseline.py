"""The numbers of a run that was good enough to keep, per question, and how a new run stands beside them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from evals.dataset import Dataset
from evals.measures import CITATION_VALIDITY, LOWER_IS_BETTER, Latency, Leak, Values, mean
from evals.significance import LEVEL, paired_p_value
from retrieval.errors import InvalidDataset

BASELINES = Path(__file__).parent / "baselines"
_DIGITS = 4


class Baseline(BaseModel):
    """A kept run: `values[measure][i]` belongs to question `cases[i]`, null where the measure says nothing of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    fingerprint: str
    parts: dict[str, str | float | None]
    latency_ms: dict[str, dict[str, float]]
    cases: list[str]
    values: dict[str, list[float | None]]

    @model_validator(mode="after")
    def _as_long_as_cases(self) -> "Baseline":
        for measure, values in self.values.items():
            if len(values) != len(self.cases):
                raise ValueError(f"{measure}: {len(values)} values for {len(self.cases)} questions")
        return self

    def of(self, measure: str) -> dict[str, float]:
        """The measure's values by question."""
        found = zip(self.cases, self.values.get(measure, []), strict=False)
        return {case: value for case, value in found if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A measure's mean beside the baseline's, on the questions both have a value for.

    Without such questions `baseline`, `difference` and `p_value` are None, and `value` is the mean of all.
    """

    measure: str
    value: float
    questions: int
    baseline: float | None
    difference: float | None
    p_value: float | None

    @property
    def gain(self) -> float:
        """The difference, positive when it is for the better; 0 without a baseline."""
        return (self.difference or 0.0) * (-1 if self.measure in LOWER_IS_BETTER else 1)

    @property
    def significant(self) -> bool:
        return self.p_value is not None and self.p_value < LEVEL

    def fell(self, tolerance: float) -> bool:
        """True when it is worse by more than the tolerance, and not by luck."""
        return self.significant and self.gain < -tolerance


def compare(values: Values, baseline: Baseline | None) -> tuple[Comparison, ...]:
    """Each measure beside the baseline's, by the paired randomisation test."""
    return tuple(
        _compare(measure, of_questions, baseline.of(measure) if baseline else {})
        for measure, of_questions in values.items()
    )


def _compare(measure: str, new: Mapping[str, float], old: Mapping[str, float]) -> Comparison:
    # Baselines are rounded: an unchanged value must not differ from its own rounding.
    pairs = [(round(new[case], _DIGITS), old[case]) for case in new if case in old]
    if not pairs:
        return Comparison(
            measure=measure,
            value=mean(new.values()),
            questions=len(new),
            baseline=None,
            difference=None,
            p_value=None,
        )
    value, before = mean(pair[0] for pair in pairs), mean(pair[1] for pair in pairs)
    return Comparison(
        measure=measure,
        value=value,
        questions=len(pairs),
        baseline=before,
        difference=value - before,
        p_value=paired_p_value([after - earlier for after, earlier in pairs]),
    )


def objections(
    comparisons: Sequence[Comparison], values: Values, leaks: Sequence[Leak], tolerance: float
) -> tuple[str, ...]:
    """Why this run must not pass: measures that fell, any leak, any citation that does not stand in its document."""
    fallen = [
        f"{found.measure} fell by {-found.gain:.3f} (p = {found.p_value:.3f})"
        for found in comparisons
        if found.fell(tolerance)
    ]
    leaked = [f"{leak.case_id} shows a {leak.place} of {leak.uri}, which its person may not see" for leak in leaks]
    invalid = [case for case, share in values.get(CITATION_VALIDITY, {}).items() if share < 1]
    return (*fallen, *leaked, *(f"{case} cites words that do not stand in the document" for case in invalid))


def baseline_of(
    dataset: Dataset, values: Values, latencies: Mapping[str, Latency], parts: Mapping[str, str | float | None]
) -> Baseline:
    """This run as a baseline, values rounded to four digits."""
    cases = [case.case_id for case in dataset.cases]
    return Baseline(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        parts=dict(parts),
        latency_ms={
            name: {"p50": round(latency.p50, 1), "p95": round(latency.p95, 1)} for name, latency in latencies.items()
        },
        cases=cases,
        values={
            measure: [round(of_questions[case], _DIGITS) if case in of_questions else None for case in cases]
            for measure, of_questions in values.items()
        },
    )


def save(baseline: Baseline, path: Path) -> None:
    """Writes it, a line per measure so that a diff says what moved."""
    content = baseline.model_dump()
    values = content.pop("values")
    lines = [f"  {json.dumps(key)}: {_compact(value)}" for key, value in content.items()]
    rows = [
        f"    {json.dumps(measure)}: {_compact([_whole(value) for value in row])}" for measure, row in values.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join([*lines, '  "values": {\n' + ",\n".join(rows) + "\n  }"])
    path.write_text("{\n" + body + "\n}\n", encoding="utf-8")


def load(path: Path) -> Baseline | None:
    """The baseline, None when there is no file. Raises `InvalidDataset` for one that cannot be read."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InvalidDataset(f"{path}: not a baseline: {error}") from error


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(value: float | None) -> float | int | None:
    """1 instead of 1.0: most values are 0 or 1."""
    return int(value) if value is not None and math.isfinite(value) and value == int(value) else value
