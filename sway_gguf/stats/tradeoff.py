"""A smaller scale that keeps most of a gain at a fraction of a cost, where that is sure. Knows numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sway_gguf.stats.interval import Interval
from sway_gguf.stats.ratio import ratio_interval

KEPT, COST = 0.8, 0.5
"""At least so much of the gain is kept, at no more than so much of the cost: else there is nothing to tell."""
_SMALLEST_COST = 0.02
"""A cost below this is none that anybody would pay for: its share means nothing."""


class Point(NamedTuple):
    """At one scale: what each item gained, and what each other item lost (a cost is positive)."""

    gains: Sequence[float]
    costs: Sequence[float]


class Tradeoff(NamedTuple):
    """A scale with the share that is kept of the gain and that is left of the cost at scale 1, each with its interval.

    The intervals hold for all scales that were looked at.
    """

    scale: float
    kept: float
    kept_interval: Interval
    cost: float
    cost_interval: Interval


def tradeoff(points: Mapping[float, Point], *, confidence: float = 0.95) -> Tradeoff | None:
    """The scale below 1 that surely keeps `KEPT` of the gain at 1 for surely no more than `COST` of the cost at 1.

    Of several the one whose gain less cost, as shares, is largest. Shares are ratios of means over the same
    items, each at a confidence that holds for all scales below 1 together (Bonferroni).

    Args:
        points: by scale, 1 among them; the same items at each.
        confidence: of all that is said.

    Returns:
        None where there is no such scale, the gain or the cost at 1 may be nothing, or the items are too few.
    """
    smaller = [scale for scale in points if 0 < scale < 1]
    if 1.0 not in points or not smaller or not len(points[1.0].costs):
        return None
    whole, each = points[1.0], 1 - (1 - confidence) / (2 * len(smaller))
    if float(np.mean(whole.costs)) < _SMALLEST_COST:
        return None
    found = []
    for scale in smaller:
        kept = ratio_interval(points[scale].gains, whole.gains, confidence=each)
        cost = ratio_interval(points[scale].costs, whole.costs, confidence=each)
        if kept is not None and cost is not None and kept.low >= KEPT and cost.high <= COST:
            shares = (_share(points[scale].gains, whole.gains), _share(points[scale].costs, whole.costs))
            found.append(Tradeoff(scale, shares[0], kept, shares[1], cost))
    return max(found, key=lambda each: each.kept - each.cost, default=None)


def _share(some: Sequence[float], whole: Sequence[float]) -> float:
    return float(np.mean(some) / np.mean(whole))
