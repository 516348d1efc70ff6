"""Interval of a ratio of two means over the same items. Knows lists of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sway_gguf.stats.interval import MIN_ITEMS, Interval, estimate
from sway_gguf.stats.student import stdtrit

_HALVINGS = 60


def ratio_interval(above: Sequence[float], below: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """Interval of mean(above) / mean(below): the ratios r for which the items above − r·below may have a mean of zero.

    That is Fieller's interval (1954), with the skewness of what is left taken out. It has both ends where the interval
    of the mean below lies above zero.

    Args:
        above, below: [n] values, the same item in the same place.
        confidence: two-sided level.

    Returns:
        None with fewer than `MIN_ITEMS` items, or where the mean below may be nothing: a ratio to it has no interval.

    Raises:
        ValueError: lists of different lengths.
    """
    x, y = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} and {y.size} items cannot be paired")
    miss = (1 - confidence) / 2
    if x.size < MIN_ITEMS or not estimate(float(y.mean()), [y]).low(miss) > 0:
        return None
    ratio = float(x.mean() / y.mean())
    # Of items that are all kept alike only rounding is left.
    if np.allclose(x, ratio * y, atol=1e-9 * float(np.abs(y).max())):
        return Interval(ratio, ratio)

    def reaches(r: float) -> float:
        rest = x - r * y
        return estimate(float(rest.mean()), [rest]).reaches(0.0)

    limit = stdtrit(x.size - 1, 1 - miss)
    step = estimate(ratio, [(x - ratio * y) / y.mean()]).error
    return Interval(
        _farthest(lambda r: reaches(r) < limit, ratio, -step), _farthest(lambda r: reaches(r) > -limit, ratio, step)
    )


def _farthest(within: Callable[[float], bool], start: float, step: float) -> float:
    """Where `within` ends, going from `start` by steps that double, and then by halves."""
    inside, outside = start, start + step
    while within(outside):
        inside, outside = outside, start + 2 * (outside - start)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside
