"""Interval of a ratio of two means over the same items. Knows lists of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.stats.bootstrap import MIN_ITEMS, Interval, estimate, interval_of

_NOTHING = 5e-4
"""Chance up to which the mean below may be nothing."""


def ratio_interval(
    above: Sequence[float], below: Sequence[float], *, seed: int = 0, confidence: float = 0.95
) -> Interval | None:
    """Interval of r = mean(above) / mean(below), by what is left of each item, (above − r·below) / mean(below).

    Returns:
        None with fewer than `MIN_ITEMS` items, or where the mean below may not be positive: a ratio to what may be
        nothing has no interval.

    Raises:
        ValueError: lists of different lengths.
    """
    x, y = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} and {y.size} items cannot be paired")
    if x.size < MIN_ITEMS or not estimate(float(y.mean()), [y]).low(_NOTHING) > 0:
        return None
    ratio = float(x.mean() / y.mean())
    rest = (x - ratio * y) / y.mean()
    # Of items that are all kept alike only rounding is left.
    if np.allclose(rest, 0.0):
        return Interval(ratio, ratio)
    return interval_of(estimate(ratio, [rest]), confidence)
