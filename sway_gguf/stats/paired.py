"""Two measurements of the same items: their difference, an exact test of it, and its interval. Knows numbers only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.interval import MIN_ITEMS, Interval, estimate, interval_of

_ALL_SWAPS = 12
"""Up to so many pairs every way to swap them is taken; beyond, ways are drawn by seed."""
_DRAWN = 9999
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
        seed: of the ways that are drawn.

    Raises:
        ValueError: lengths differ, there is no item, or a value is not finite.
    """
    before, after = (tuple(np.asarray(group, np.float64) for group in groups) for groups in (old, new))
    if [group.shape for group in before] != [group.shape for group in after] or not before or not before[0].size:
        raise ValueError("pairs need groups of the same lengths, and one item or more")
    if not all(np.isfinite(group).all() for group in (*before, *after)):
        raise ValueError("a paired test needs finite values")
    seen = _difference(before, after)
    return Paired(float(seen), swap_p(before, after, float(seen), seed), _interval(before, after, float(seen)))


def _difference(before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(contrast(after[0], after[1:]) - contrast(before[0], before[1:]))


def swap_p(
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], seen: float, seed: int
) -> float:
    """Share of the ways to swap pairs whose difference is at least `seen` in size; arguments as of `paired_change`."""
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
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], delta: float
) -> Interval | None:
    """Of the change of each item, and of that of the controls as far as their gain is taken off on either side."""
    if any(group.size < MIN_ITEMS for group in before):
        return None
    old, new = _counted(before), _counted(after)
    signs = zip(old, new, before, after, strict=True)
    return interval_of(estimate(delta, [now * late - then * early for then, now, early, late in signs]))


def _counted(groups: Sequence[NDArray[np.float64]]) -> list[float]:
    """1 for the items, −1 for the group of controls whose gain `contrast` takes off, 0 for the others."""
    means = [float(group.mean()) for group in groups[1:]]
    most = max([0.0, *means])
    found = [-1.0 if mean == most > 0 else 0.0 for mean in means]
    return [1.0, *(sign if -1.0 not in found[:place] else 0.0 for place, sign in enumerate(found))]
