"""Exact interval of a proportion (Clopper & Pearson 1934). Knows two counts."""

from __future__ import annotations

from scipy import stats

from sway_gguf.stats.bootstrap import Interval


def proportion_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval | None:
    """Exact interval of successes / trials, or None without trials.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    if trials == 0 and successes == 0:
        return None
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return Interval(float(found.low), float(found.high))
