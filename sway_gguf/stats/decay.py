"""Half-life of a curve that shrinks, with a bootstrap interval over items. Knows a table of values only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 500
_LEVEL = 0.01
"""A curve that loses less than about 1% over its whole range is level, whatever the resamples say."""


class Decay(NamedTuple):
    """A fit of log(mean) = c + slope·x.

    Attributes:
        half_life: ln 2 / −slope, in the unit of x; None where the curve does not shrink beyond doubt.
        interval: 95%, over items; its upper end is None where some resamples do not shrink.
        slope: per unit of x.
    """

    half_life: float | None
    interval: tuple[float, float | None]
    slope: float


def fit_decay(x: NDArray[np.float64], table: NDArray[np.float64], *, seed: int) -> Decay:
    """Fit the mean over items. [n] places, [items, n] values > 0 on average.

    The curve shrinks beyond doubt where at most 2.5% of the resamples have a slope of 0 or more.

    Raises:
        ValueError: a mean is not positive, or there are fewer than two places.
    """
    means = table.mean(axis=0)
    if len(x) < 2 or not (means > 0).all():
        raise ValueError("a half-life needs at least two places with positive means")
    slope = _slope(x, means)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(table), (_RESAMPLES, len(table)))
    slopes = np.array([_slope(x, np.maximum(table[pick].mean(axis=0), np.finfo(float).tiny)) for pick in rows])
    steep, shallow = np.quantile(slopes, [0.025, 0.975])
    low = _half_life(steep) or 0.0
    level = -slope * float(np.ptp(x)) < _LEVEL
    if level or shallow >= 0:
        return Decay(None, (low, None), slope)
    return Decay(_half_life(slope), (low, _half_life(shallow)), slope)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.polyfit(x, np.log(y), 1)[0])


def _half_life(slope: float) -> float | None:
    return math.log(2) / -slope if slope < 0 else None
