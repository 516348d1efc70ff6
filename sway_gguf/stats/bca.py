"""The bias-corrected and accelerated bootstrap (Efron 1987) of any statistic. Knows arrays and a function of them.

To the bit what `scipy.stats.bootstrap` gives, whose import takes longer than all that a run computes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Numbers = NDArray[np.float64]
Groups = Sequence[NDArray[Any]]
Statistic = Callable[..., Numbers]
"""Takes all groups as [..., n] each, and `axis`, over which it runs."""


def bca(groups: Groups, statistic: Statistic, *, seed: int, confidence: float, resamples: int) -> tuple[float, float]:
    """Both ends of the interval of a statistic, the groups resampled each by itself.

    Where the jackknife has no spread there is no acceleration, and the ends are those of the percentile interval.

    Args:
        groups: [n] each.
        statistic: of them.
        seed: of the resampling.
        confidence: two-sided level.
        resamples: number of resamples.
    """
    rng = np.random.default_rng(seed)
    drawn = [group[rng.integers(0, group.size, (resamples, group.size))] for group in groups]
    found, tail = np.sort(statistic(*drawn, axis=-1)), (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = _ends(groups, statistic, found, tail)
    low, high = _quantiles(found, ends if np.isfinite(ends).all() else np.array([tail, 1 - tail]))
    return float(low), float(high)


def _ends(groups: Groups, statistic: Statistic, found: Numbers, tail: float) -> Numbers:
    """Shares of the resamples that lie below the two ends (Efron & Tibshirani 1993, eq. 14.10)."""
    seen = statistic(*groups, axis=-1)
    below = (np.count_nonzero(found < seen) + np.count_nonzero(found <= seen)) / (2 * found.size)
    bias, outward = special.ndtri(below), special.ndtri(tail)
    steps = bias + np.array([outward, -outward])
    return np.asarray(special.ndtr(bias + steps / (1 - _acceleration(groups, statistic) * steps)))


def _acceleration(groups: Groups, statistic: Statistic) -> np.float64:
    """From the jackknife over all groups (ibid., eq. 15.36)."""
    cubes = squares = np.float64(0)
    for place, group in enumerate(groups):
        count = group.size
        without = np.broadcast_to(group, (count, count))[~np.eye(count, dtype=bool)].reshape(count, count - 1)
        tables = [np.broadcast_to(each, (count, each.size)) for each in groups]
        left = statistic(*tables[:place], without, *tables[place + 1 :], axis=-1)
        influence = (count - 1.0) * (left.mean() - left)
        cubes += (influence**3).sum() / float(count) ** 3
        squares += (influence**2).sum() / float(count) ** 2
    return np.float64(1 / 6 * cubes / squares**1.5)


def _quantiles(ascending: Numbers, shares: Numbers) -> Numbers:
    """Of sorted values, linear between them (Hyndman & Fan 1996, definition 7)."""
    last = ascending.size - 1
    place = shares * ascending.size + (1 - shares)
    upper, between = place // 1, place % 1
    low, high = (ascending[np.clip(each, 0, last).astype(np.intp)] for each in (upper - 1, upper))
    between = np.where(upper < 1, 0.0, between)
    return np.asarray((1 - between) * low + between * high)
