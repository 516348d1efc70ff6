"""Exact statements on proportions. Knows counts.

SciPy's own functions of these say the same, and take half a second to import.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

from sway_gguf.stats.interval import Interval


@lru_cache(maxsize=1 << 12)
def proportion_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval | None:
    """Exact interval of successes / trials, by quantiles of the beta distribution (Clopper & Pearson 1934).

    None without trials.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    _check(successes, trials)
    if trials == 0:
        return None
    from scipy import special

    failures, tail = trials - successes, (1 - confidence) / 2
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betainccinv(successes + 1, failures, tail)) if failures else 1.0
    return Interval(low, high)


def more_often_p(one: int, other: int, trials: int) -> float:
    """One-sided p that `one` of `trials` is no more than chance makes of `other` of as many (Fisher's exact test).

    Of all ways to deal the successes out to both, the share that gives the first at least `one`.

    Raises:
        ValueError: more of either than trials, or a negative count.
    """
    _check(one, trials)
    _check(other, trials)
    both = one + other
    ways = sum(comb(trials, first) * comb(trials, both - first) for first in range(one, min(both, trials) + 1))
    return ways / comb(2 * trials, both)


def majority_p(successes: int, trials: int) -> float:
    """One-sided p that no more than half are successes (exact binomial test): P(X ≥ successes) of fair coins.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    _check(successes, trials)
    return sum(comb(trials, each) for each in range(successes, trials + 1)) / (1 << trials)


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
