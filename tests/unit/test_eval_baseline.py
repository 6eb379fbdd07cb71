"""Baselines: what is kept, what is significant, what stops a run."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from evals.baseline import BASELINES, Baseline, baseline_of, compare, load, objections, save
from evals.dataset import Dataset
from evals.golden import golden_dataset
from evals.measures import Latency, Leak
from evals.significance import paired_p_value
from retrieval.errors import InvalidDataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return golden_dataset().sample(40)


def kept(dataset: Dataset, values: dict[str, dict[str, float]]) -> Baseline:
    return baseline_of(dataset, values, {"retrieve": Latency(p50=1.23, p95=4.56)}, {"embedder": "minilm"})


def every(dataset: Dataset, value: float) -> dict[str, float]:
    return {case.case_id: value for case in dataset.cases}


def test_p_value_is_exact_enough() -> None:
    """The sampled p-value is within a hundredth of the one that counts every sign pattern."""
    differences = [0.3, -0.1, 0.2, 0.05, 0.0, 0.4, -0.02, 0.1]
    patterns = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((1, -1), repeat=8)
    ]
    exact = np.mean([total >= sum(differences) - 1e-9 for total in patterns])

    assert paired_p_value(differences) == pytest.approx(exact, abs=0.01)


def test_p_value_is_reproducible() -> None:
    """The same differences give the same p-value, and it does not care for their direction."""
    differences = list(np.random.default_rng(1).normal(0.1, 1, 60))

    assert paired_p_value(differences) == paired_p_value(differences)
    assert paired_p_value([-difference for difference in differences]) == paired_p_value(differences)


def test_no_difference() -> None:
    """Nothing changed is never significant, however many questions say so."""
    assert paired_p_value([0.0] * 100) == 1
    assert paired_p_value([]) == 1


def test_p_value_under_no_effect() -> None:
    """Where there is no effect, about one run in twenty is called significant, not more."""
    random = np.random.default_rng(2)
    found = [paired_p_value(list(random.normal(0, 1, 30))) < 0.05 for _ in range(200)]

    assert 0.01 <= np.mean(found) <= 0.1


def test_saved_and_loaded(dataset: Dataset, tmp_path: Path) -> None:
    """A baseline is read back as it was kept, rounded to four digits, absent values and all."""
    first, *others = dataset.cases
    values = {"nDCG@10": {first.case_id: 1 / 3, others[0].case_id: 1.0}}
    path = tmp_path / "deep" / "golden.json"

    save(kept(dataset, values), path)
    found = load(path)

    assert found == kept(dataset, values)
    assert found is not None
    assert found.of("nDCG@10") == {first.case_id: 0.3333, others[0].case_id: 1.0}
    assert found.latency_ms == {"retrieve": {"p50": 1.2, "p95": 4.6}}


def test_same_run_is_no_change(dataset: Dataset) -> None:
    """A run beside itself differs by nothing, its own rounding included."""
    values = {"nDCG@10": every(dataset, 1 / 3)}

    [found] = compare(values, kept(dataset, values))

    assert found.difference == 0
    assert found.p_value == 1


def test_no_baseline(dataset: Dataset) -> None:
    """Without a baseline there is a value and nothing beside it, and nothing fell."""
    values = {"nDCG@10": every(dataset, 0.5)}

    [found] = compare(values, None)

    assert found.value == pytest.approx(0.5)
    assert found.baseline is None
    assert found.p_value is None
    assert objections([found], values, (), 0.02) == ()


def test_shared_questions_only(dataset: Dataset) -> None:
    """A sample is compared with the same questions of the baseline, not with its mean."""
    half = dataset.cases[:20]
    whole = {case.case_id: float(case in half) for case in dataset.cases}

    [found] = compare({"nDCG@10": {case.case_id: 1.0 for case in half}}, kept(dataset, {"nDCG@10": whole}))

    assert (found.questions, found.baseline, found.difference) == (20, 1.0, 0.0)


@pytest.mark.parametrize(
    ("measure", "after", "stopped"),
    [
        ("nDCG@10", 0.4, True),
        ("nDCG@10", 0.485, False),  # significant, but within the tolerance
        ("nDCG@10", 0.6, False),
        ("false refusals", 0.6, True),  # less is better
        ("false refusals", 0.4, False),
    ],
)
def test_fallen_measure(dataset: Dataset, measure: str, after: float, stopped: bool) -> None:
    """A measure that got worse on every question by more than the tolerance stops the run; nothing else does."""
    values = {measure: every(dataset, after)}
    comparisons = compare(values, kept(dataset, {measure: every(dataset, 0.5)}))

    assert bool(objections(comparisons, values, (), 0.02)) is stopped


def test_luck_does_not_stop(dataset: Dataset) -> None:
    """One question's fall moves the mean beyond the tolerance, but could be luck: the run passes."""
    before = every(dataset, 1.0)
    after = {**before, dataset.cases[0].case_id: 0.0}
    comparisons = compare({"nDCG@10": after}, kept(dataset, {"nDCG@10": before}))

    assert comparisons[0].difference == pytest.approx(-1 / 40)
    assert objections(comparisons, {"nDCG@10": after}, (), 0.02) == ()


def test_leak_stops() -> None:
    """One leak stops the run and is named, whatever the tolerance."""
    [found] = objections((), {}, [Leak(case_id="q1", uri="halden/secret", place="citation")], 1.0)

    assert "q1" in found
    assert "halden/secret" in found


def test_invalid_citation_stops() -> None:
    """One question with a citation that does not stand in its document stops the run, however well others do."""
    assert objections((), {"citation validity": {"q1": 1.0, "q2": 0.5}}, (), 1.0) == (
        "q2 cites words that do not stand in the document",
    )


@pytest.mark.parametrize("damage", ["", "{}", "[1", '{"values": 1}'])
def test_damaged_baseline(tmp_path: Path, damage: str) -> None:
    """A damaged baseline is an error: a run must not pass for want of one."""
    path = tmp_path / "golden.json"
    path.write_text(damage)

    with pytest.raises(InvalidDataset, match=r"golden\.json: not a baseline"):
        load(path)
    assert load(tmp_path / "never-saved.json") is None


def test_misaligned_baseline(dataset: Dataset, tmp_path: Path) -> None:
    """A baseline whose values cannot be told to questions is refused."""
    path = tmp_path / "golden.json"
    save(kept(dataset, {"nDCG@10": every(dataset, 1.0)}), path)
    content = json.loads(path.read_text())
    content["values"]["nDCG@10"].pop()
    path.write_text(json.dumps(content))

    with pytest.raises(InvalidDataset, match="39 values for 40 questions"):
        load(path)


def test_sample_keeps_fingerprint(dataset: Dataset) -> None:
    """A baseline names the version of the set it was made on."""
    other = replace(dataset, fingerprint="other")

    assert kept(dataset, {}).fingerprint != kept(other, {}).fingerprint


@pytest.mark.parametrize("path", sorted(BASELINES.glob("*.json")), ids=lambda path: path.stem)
def test_committed_baselines(path: Path) -> None:
    """Every committed baseline can be read, is named after its set, and cites nothing wrongly."""
    baseline = load(path)

    assert baseline is not None
    assert baseline.dataset == path.stem
    assert baseline.of("nDCG@10")
    assert set(baseline.of("citation validity").values()) <= {1.0}


def test_golden_baseline_is_current() -> None:
    """The golden set's baseline was made on the golden set as it is now."""
    baseline = load(BASELINES / "golden.json")

    assert baseline is not None
    assert baseline.fingerprint == golden_dataset().fingerprint
