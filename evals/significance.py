"""Whether a difference is more than luck."""

from collections.abc import Sequence

import numpy as np

from evals.dataset import SEED

LEVEL = 0.05
"""Differences with a smaller p-value are called significant."""
_ROUNDS = 10_000
_ROUNDS_AT_ONCE = 1_000


def paired_p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of Fisher's paired randomisation test on the mean (Smucker, Allan & Carterette 2007).

    If nothing had changed, each question's difference could as well have the other sign: p is the share of 10,000
    random sign patterns, the observed one counted in, whose mean is as far from 0. The same input gives the same p.
    """
    # A difference of zero has no sign: leaving it out changes no sum.
    values = np.asarray([difference for difference in differences if difference != 0], dtype=np.float64)
    if values.size == 0:
        return 1.0
    random = np.random.default_rng(SEED)
    observed = abs(values.sum()) - 1e-9
    as_far = 0
    for _ in range(_ROUNDS // _ROUNDS_AT_ONCE):
        signs = random.integers(0, 2, size=(_ROUNDS_AT_ONCE, values.size)) * 2 - 1
        as_far += int((np.abs(signs @ values) >= observed).sum())
    return (as_far + 1) / (_ROUNDS + 1)
