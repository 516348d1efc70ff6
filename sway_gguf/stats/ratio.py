"""Interval of a ratio of two means over the same items. Knows lists of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sway_gguf.stats.bootstrap import MIN_ITEMS, Interval


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in ("BCa", "percentile"):
            found = stats.bootstrap(
                (x, y),
                _ratio,
                paired=True,
                vectorized=True,
                n_resamples=resamples,
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
            if np.isfinite(found.low) and np.isfinite(found.high):
                break
    return Interval(float(found.low), float(found.high))


def _ratio(x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(x.mean(axis=axis) / y.mean(axis=axis))


def _surely_positive(y: NDArray[np.float64], seed: int, resamples: int) -> bool:
    rows = np.random.default_rng(seed).integers(0, y.size, (resamples, y.size))
    return bool(y.mean() > 0 and (y[rows].mean(axis=1) > 0).all())
