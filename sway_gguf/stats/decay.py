"""Half-life of a curve that shrinks, with its interval over items. Knows a table of values only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.interval import estimate, interval_of

_FEWEST = 3
"""Of fewer items no skewness can be told, and so no interval."""
_LEVEL = 0.01
"""A curve that loses less than about 1% over its whole range is level, whatever its interval says."""


class Decay(NamedTuple):
    """A fit of log(mean) = c + slope·x.

    Attributes:
        half_life: ln 2 / −slope, in the unit of x; None where the curve is level or grows.
        interval: 95%, over items; its upper end is None where the curve may not shrink, as fewer than three items leave
            open.
        slope: per unit of x.
    """

    half_life: float | None
    interval: tuple[float, float | None]
    slope: float


def fit_decay(x: NDArray[np.float64], table: NDArray[np.float64]) -> Decay:
    """Fit the mean over items. [n] places, [items, n] values > 0 on average.

    An item adds to the slope what it adds to each mean, over that mean, times the mean's share of the slope.

    Raises:
        ValueError: a mean is not positive, or there are fewer than two places.
    """
    means = table.mean(axis=0)
    if len(x) < 2 or not (means > 0).all():
        raise ValueError("a half-life needs at least two places with positive means")
    shares = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slope = float(shares @ np.log(means))
    half_life = None if -slope * float(np.ptp(x)) < _LEVEL else _half_life(slope)
    if len(table) < _FEWEST:
        return Decay(half_life, (0.0, None), slope)
    steep, shallow = interval_of(estimate(slope, [table @ (shares / means)]))
    return Decay(half_life, (_half_life(steep) or 0.0, None if half_life is None else _half_life(shallow)), slope)


def _half_life(slope: float) -> float | None:
    return math.log(2) / -slope if slope < 0 else None
