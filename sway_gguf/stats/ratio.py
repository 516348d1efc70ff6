"""Interval of a ratio of two means over the same items. Knows lists of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.bootstrap import MIN_ITEMS, Interval, bootstrapped


def ratio_interval(
    above: Sequence[float], below: Sequence[float], *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> Interval | None:
    """BCa bootstrap interval of mean(above) / mean(below), items resampled in pairs.

    Returns:
        None with fewer than `MIN_ITEMS` items, or where some resample's denominator is not positive: a ratio to what
        may be nothing has no interval.

    Raises:
        ValueError: lists of different lengths.
    """
    x, y = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} and {y.size} items cannot be paired")
    if x.size < MIN_ITEMS or not _surely_positive(y, seed, resamples):
        return None
    if np.allclose(x * y.mean(), y * x.mean()):
        only = float(x.mean() / y.mean())
        return Interval(only, only)
    return bootstrapped((x, y), _ratio, seed=seed, confidence=confidence, resamples=resamples, paired=True)


def _ratio(x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(x.mean(axis=axis) / y.mean(axis=axis))


def _surely_positive(y: NDArray[np.float64], seed: int, resamples: int) -> bool:
    rows = np.random.default_rng(seed).integers(0, y.size, (resamples, y.size))
    return bool(y.mean() > 0 and (y[rows].mean(axis=1) > 0).all())
