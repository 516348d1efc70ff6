"""Bootstrap intervals over items. Knows lists of numbers; does not know what an item is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.bca import bca
from sway_gguf.stats.contrast import contrast

MIN_ITEMS = 5
"""Fewer items than this give no interval: the bootstrap has nothing to resample."""


class Interval(NamedTuple):
    """A confidence interval, in the unit of the items."""

    low: float
    high: float


def mean_interval(
    items: Sequence[float],
    controls: Sequence[Sequence[float]] = (),
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval | None:
    """BCa interval (Efron 1987) of the mean of the items less what the controls gained, all groups resampled.

    Args:
        items: [n] values, one per item.
        controls: groups of values, each independent of the others; may be empty.
        seed: of the resampling; the same seed gives the same interval.
        confidence: two-sided level.
        resamples: number of bootstrap resamples.

    Returns:
        The interval, or None where the items or a group of controls are fewer than `MIN_ITEMS`.

    Raises:
        ValueError: a value is not finite.
    """
    groups = tuple(np.asarray(group, dtype=np.float64) for group in (items, *controls))
    if any(group.size < MIN_ITEMS for group in groups):
        return None
    if not all(np.isfinite(group).all() for group in groups):
        raise ValueError("a bootstrap needs finite values")
    if all(np.ptp(group) == 0 for group in groups):
        only = float(_contrast(*groups))
        return Interval(only, only)
    return bootstrapped(groups, _contrast, seed=seed, confidence=confidence, resamples=resamples)


def gap_interval(
    one: Sequence[float], other: Sequence[float], *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> Interval | None:
    """BCa interval of mean(one) − mean(other), two groups of items resampled each by itself.

    Returns:
        None where a group has fewer than `MIN_ITEMS`.
    """
    groups = (np.asarray(one, np.float64), np.asarray(other, np.float64))
    if any(group.size < MIN_ITEMS for group in groups):
        return None
    if all(np.ptp(group) == 0 for group in groups):
        only = float(_gap(*groups))
        return Interval(only, only)
    return bootstrapped(groups, _gap, seed=seed, confidence=confidence, resamples=resamples)


def _gap(one: NDArray[np.float64], other: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(one.mean(axis=axis) - other.mean(axis=axis))


def _contrast(*groups: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return contrast(groups[0], groups[1:], axis)


def bootstrapped(
    groups: tuple[NDArray[np.float64], ...],
    statistic: Callable[..., NDArray[np.float64]],
    *,
    seed: int,
    confidence: float,
    resamples: int,
    paired: bool = False,
) -> Interval:
    """BCa interval of a vectorized statistic of the groups, resampled each by itself or in pairs."""
    if not paired:
        return Interval(*bca(groups, statistic, seed=seed, confidence=confidence, resamples=resamples))

    def at(places: NDArray[np.intp], axis: int = -1) -> NDArray[np.float64]:
        return statistic(*(group[places] for group in groups), axis=axis)

    places = (np.arange(groups[0].size),)
    return Interval(*bca(places, at, seed=seed, confidence=confidence, resamples=resamples))
