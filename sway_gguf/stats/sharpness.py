"""How much of a change of distributions is the old ones made sharper or flatter. Knows tables of log-probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGEST = 16.0
_HALVINGS = 40

Table = NDArray[np.float64]


class Sharpness(NamedTuple):
    """A power of the old distributions, and the share of the change that it explains."""

    power: float
    explained: float


def sharpness(old: Table, new: Table) -> Sharpness:
    """The power c that makes old^c, normalized, likest to the new distributions, one c for all rows.

    c minimizes Σ KL(new ‖ old^c) over the rows, which is convex in c; there the mean of log old is the same under both
    (moment matching in the exponential family through `old`). explained = 1 − Σ KL(new ‖ old^c) / Σ KL(new ‖ old).

    Args:
        old, new: [rows, tokens] log-probabilities, finite, each row summing to 1.
    """
    wanted = float((np.exp(new) * old).sum())
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _moment(old, middle) < wanted else (low, middle)
    power = (low + high) / 2
    before, after = _divergence(new, old), _divergence(new, _tempered(old, power))
    return Sharpness(power, 1.0 - after / before if before > 0 else 0.0)


def _tempered(old: Table, power: float) -> Table:
    scaled = old * power
    return np.asarray(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))


def _moment(old: Table, power: float) -> float:
    return float((np.exp(_tempered(old, power)) * old).sum())


def _divergence(new: Table, old: Table) -> float:
    return float((np.exp(new) * (new - old)).sum())
