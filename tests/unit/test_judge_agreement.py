"""Agreement beyond chance, by hand-computed and independent references."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evals.judging.agreement import agreement

LABELS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def reference(pairs: list[tuple[bool, bool]]) -> float:
    """Cohen's kappa from the table of counts, in whole numbers: (N·agreed - Σ rows·columns) / (N² - Σ rows·columns)."""
    size = len(pairs)
    agreed = sum(one == two for one, two in pairs)
    expected = sum(
        sum(one is label for one, _ in pairs) * sum(two is label for _, two in pairs) for label in (True, False)
    )
    return (size * agreed - expected) / (size * size - expected) if size * size != expected else math.nan


@settings(deadline=None, max_examples=50)
@given(LABELS)
def test_kappa(pairs: list[tuple[bool, bool]]) -> None:
    """Kappa is that of the table of counts; NaN where chance alone would agree on everything."""
    found = agreement([one for one, _ in pairs], [two for _, two in pairs])

    assert found.kappa == pytest.approx(reference(pairs), nan_ok=True, abs=1e-9)
    assert found.accuracy == pytest.approx(np.mean([one == two for one, two in pairs]))
    assert found.labels == len(pairs)


def test_a_known_table() -> None:
    """The textbook's table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no is a kappa of .4."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement([one for one, _ in pairs], [two for _, two in pairs])

    assert found.kappa == pytest.approx(0.4)
    assert found.accuracy == pytest.approx(0.7)
    # The large-sample standard error, sqrt(po(1-po)/n)/(1-pe), is .13.
    assert found.low == pytest.approx(0.4 - 1.96 * 0.13, abs=0.05)
    assert found.high == pytest.approx(0.4 + 1.96 * 0.13, abs=0.05)


@settings(deadline=None, max_examples=30)
@given(LABELS)
def test_who_is_first_makes_no_difference(pairs: list[tuple[bool, bool]]) -> None:
    """Agreement is mutual, and the same labels give the same interval."""
    first, second = [one for one, _ in pairs], [two for _, two in pairs]
    one, two = agreement(first, second), agreement(second, first)

    np.testing.assert_allclose([one.kappa, one.low, one.high], [two.kappa, two.low, two.high])


def test_chance() -> None:
    """A coin agrees with nobody beyond chance, however often it is thrown: its interval holds 0."""
    coins = np.random.default_rng(3).integers(0, 2, size=(2, 400)).astype(bool)
    found = agreement(list(coins[0]), list(coins[1]))

    assert found.low < 0 < found.high
    assert found.high < 0.2


def test_always_yes() -> None:
    """Who says yes to everything is right as often as yes is right, and has a kappa of 0."""
    found = agreement([True] * 30 + [False] * 10, [True] * 40)

    assert (found.accuracy, found.kappa) == (0.75, 0.0)


def test_nothing_to_compare() -> None:
    """Of no labels, or of labels that are all one, there is no kappa and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(agreement([], []).kappa)
        assert math.isnan(agreement([True] * 5, [True] * 5).low)


@settings(deadline=None, max_examples=30)
@given(LABELS)
def test_the_interval(pairs: list[tuple[bool, bool]]) -> None:
    """The interval's ends are in order and inside kappa's range."""
    found = agreement([one for one, _ in pairs], [two for _, two in pairs])
    assume(not math.isnan(found.low))

    assert -1 <= found.low <= found.high <= 1
