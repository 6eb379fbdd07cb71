"""How much each leg has to say is read from its scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.fusion import EVEN_WEIGHT, FusedPassage, confidence, weight_of_cosine
from tests.unit.test_arranging import found

SHARES = st.lists(st.floats(0, 1), max_size=30)
EMBEDDING = np.ones(4, dtype=np.float32)


def scored(cosine: float, bm25: float) -> FusedPassage:
    passage = found(1, "text")
    return replace(passage, candidate=replace(passage.candidate, cosine=cosine, bm25=bm25))


@pytest.mark.parametrize(
    ("cosines", "shares", "weight"),
    [
        ([0.9, 0.5, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3], 1.0),
        ([0.5, 0.5], [0.9, 0.1], 0.0),
        ([0.9, 0.1], [0.9, 0.1], 0.5),
        ([0.6, 0.2], [0.7, 0.1], 0.4),
        ([0.5, 0.5], [0.2, 0.2], EVEN_WEIGHT),
        ([0.5], [0.2], EVEN_WEIGHT),
        ([], [], EVEN_WEIGHT),
    ],
)
def test_the_leg_whose_best_stands_out_weighs_more(cosines: list[float], shares: list[float], weight: float) -> None:
    """A leg that cannot tell its candidates apart has no say; where neither can, the weight is a constant."""
    assert weight_of_cosine(cosines, shares) == pytest.approx(weight)


@given(SHARES, SHARES)
def test_the_weight_is_a_share(cosines: list[float], shares: list[float]) -> None:
    """It is in [0, 1], whatever the scores are, and does not depend on their order."""
    weight = weight_of_cosine(cosines, shares)
    assert 0 <= weight <= 1
    assert weight_of_cosine(cosines[::-1], shares[::-1]) == pytest.approx(weight)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_confidence_is_absolute(cosine: float, bm25: float) -> None:
    """What a question's weight is does not move it; without an embedding the words alone are it."""
    passages = (scored(cosine, bm25), scored(0.9, 0.9))
    assert confidence(passages, EMBEDDING, None) == pytest.approx(0.4 * max(cosine, 0) + 0.6 * bm25)
    assert confidence(passages, EMBEDDING, 1.0) == pytest.approx(max(cosine, 0))
    assert confidence(passages, None, None) == bm25


def test_nothing_found_is_no_confidence() -> None:
    """An empty search has nothing to be sure of."""
    assert confidence((), EMBEDDING, None) == 0
