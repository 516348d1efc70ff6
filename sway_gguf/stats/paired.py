"""Two measurements of the same items: their difference, an exact test of it, and its interval. Knows numbers only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.bootstrap import MIN_ITEMS, Interval, bootstrapped
from sway_gguf.stats.contrast import contrast

_ALL_SWAPS = 12
"""Up to so many pairs every way to swap them is taken; beyond, ways are drawn by seed."""
_DRAWN = 9999
_RESAMPLES = 2000
_TIE = 1e-9

Groups = Sequence[Sequence[float]]
"""Items first, then groups of controls whose gain is taken off, as `contrast` has it."""


class Paired(NamedTuple):
    """A difference, its two-sided p, and its interval where there are items enough."""

    delta: float
    p: float
    interval: Interval | None


def paired_change(old: Groups, new: Groups, *, seed: int) -> Paired:
    """contrast(new) − contrast(old), tested by swapping old and new within pairs.

    Where nothing changed, old and new of a pair are exchangeable, so each way to swap some of the pairs is as likely
    as what was seen; p is the share of the ways with a difference at least as large (the sign-flip permutation test,
    Fisher 1935; with drawn ways (1 + k) / (1 + m), Phipson & Smyth 2010). It is exact for any number of pairs and
    takes ties as they come. Without controls it is the sign-flip test of the mean difference. n pairs reach
    p = 2 / 2ⁿ at best, so fewer than six can show nothing at 0.05.

    Args:
        old, new: groups of the same lengths, the same thing in the same place.
        seed: of the ways that are drawn, and of the bootstrap.

    Raises:
        ValueError: lengths differ, there is no item, or a value is not finite.
    """
    before, after = (tuple(np.asarray(group, np.float64) for group in groups) for groups in (old, new))
    if [group.shape for group in before] != [group.shape for group in after] or not before or not before[0].size:
        raise ValueError("pairs need groups of the same lengths, and one item or more")
    if not all(np.isfinite(group).all() for group in (*before, *after)):
        raise ValueError("a paired test needs finite values")
    seen = _difference(before, after)
    return Paired(float(seen), _p(before, after, float(seen), seed), _interval(before, after, seed))


def _difference(before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(contrast(after[0], after[1:]) - contrast(before[0], before[1:]))


def _p(before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], seen: float, seed: int) -> float:
    pairs = sum(group.size for group in before)
    all_ways = pairs <= _ALL_SWAPS
    swaps = (
        np.array(list(itertools.product((False, True), repeat=pairs)))
        if all_ways
        else np.random.default_rng(seed).random((_DRAWN, pairs)) < 0.5
    )
    ends = np.cumsum([group.size for group in before])[:-1]
    one, other = [], []
    for first, second, swapped in zip(before, after, np.split(swaps, ends, axis=1), strict=True):
        one.append(np.where(swapped, second, first))
        other.append(np.where(swapped, first, second))
    # Rounding must not tell ways apart that differ by nothing.
    largest = max(float(np.abs(group).max()) for group in (*before, *after))
    as_large = int((np.abs(_difference(one, other)) >= abs(seen) - _TIE * largest).sum())
    return as_large / len(swaps) if all_ways else (1 + as_large) / (1 + len(swaps))


def _interval(
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], seed: int
) -> Interval | None:
    """BCa, pairs resampled group by group."""
    if any(group.size < MIN_ITEMS for group in before):
        return None

    def difference(*places: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        rows = [each.astype(np.int64) for each in places]
        picked = ([group[row] for group, row in zip(groups, rows, strict=True)] for groups in (before, after))
        old, new = picked
        return np.asarray(contrast(new[0], new[1:], axis) - contrast(old[0], old[1:], axis))

    places = tuple(np.arange(group.size, dtype=np.float64) for group in before)
    return bootstrapped(places, difference, seed=seed, confidence=0.95, resamples=_RESAMPLES)
