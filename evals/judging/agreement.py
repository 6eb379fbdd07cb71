"""How far two who label the same things agree, beyond what chance would bring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.dataset import SEED

_ROUNDS = 2000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of `labels` yes-or-no labels: the share on which both agree, and Cohen's kappa (1960) with its 95 % interval.

    Kappa is NaN where both say the same of everything: there is nothing to tell agreement from chance by.
    """

    labels: int
    accuracy: float
    kappa: float
    low: float
    high: float


def agreement(first: Sequence[bool], second: Sequence[bool]) -> Agreement:
    """The interval is the percentile bootstrap's, with a fixed seed; resamples without a kappa are left out of it."""
    pairs = np.stack([np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)])
    if pairs.shape[1] == 0:
        return Agreement(labels=0, accuracy=np.nan, kappa=np.nan, low=np.nan, high=np.nan)
    size = pairs.shape[1]
    drawn = np.random.default_rng(SEED).integers(0, size, size=(_ROUNDS, size))
    kappas = _kappa(pairs[0][drawn], pairs[1][drawn])
    found = kappas[~np.isnan(kappas)]
    low, high = np.percentile(found, _INTERVAL) if found.size else (np.nan, np.nan)
    return Agreement(
        labels=size,
        accuracy=float(np.mean(pairs[0] == pairs[1])),
        kappa=float(_kappa(pairs[0], pairs[1])),
        low=float(low),
        high=float(high),
    )


def _kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cohen's kappa along the last axis: (p_o - p_e) / (1 - p_e)."""
    observed = np.mean(first == second, axis=-1)
    yes, also = np.mean(first, axis=-1), np.mean(second, axis=-1)
    chance = yes * also + (1 - yes) * (1 - also)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(chance < 1, (observed - chance) / (1 - chance), np.nan))
