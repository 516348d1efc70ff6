"""Exact statements on proportions. Knows counts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sway_gguf.stats.interval import Interval


@lru_cache(maxsize=1 << 12)
def proportion_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval | None:
    """Exact interval of successes / trials (Clopper & Pearson 1934), or None without trials.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    if trials == 0 and successes == 0:
        return None
    from scipy import stats  # half a second, which few runs need

    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return Interval(float(found.low), float(found.high))


def more_often_p(one: int, other: int, trials: int) -> float:
    """One-sided p that `one` of `trials` is no more than chance makes of `other` of as many (Fisher's exact test).

    Raises:
        ValueError: more of either than trials, or a negative count.
    """
    from scipy import stats

    table = np.array([[one, trials - one], [other, trials - other]])
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
