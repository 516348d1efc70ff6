"""Two measurements of the same items: their difference, an exact test of it, and its interval. Knows numbers only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.interval import MIN_ITEMS, Interval, estimate, interval_of

_ALL_SWAPS = 12
"""Up to so many pairs every way to swap them is taken; beyond, ways are drawn by seed."""
_DRAWN = 9999
_BLOCK = 1 << 20
"""Swaps held at once."""
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


def least_p(pairs: int) -> float:
    """The smallest p that so many pairs can reach."""
    return 2.0 ** (1 - pairs)


def _difference(before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(contrast(after[0], after[1:]) - contrast(before[0], before[1:]))


def swap_p(
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], seen: float, seed: int
) -> float:
    """Share of the ways to swap pairs whose difference is at least `seen` in size; arguments as of `paired_change`."""
    pairs = sum(group.size for group in before)
    # Rounding must not tell ways apart that differ by nothing.
    least = abs(seen) - _TIE * max(float(np.abs(group).max()) for group in (*before, *after))
    ways = as_large = 0
    for swaps in _swaps(pairs, seed):
        ways += len(swaps)
        as_large += int((np.abs(_swapped(before, after, swaps)) >= least).sum())
    return as_large / ways if pairs <= _ALL_SWAPS else (1 + as_large) / (1 + ways)


def _swaps(pairs: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """[ways, pairs] of which pairs are swapped, a block of ways at a time: those of 10,000 pairs would fill 2 GB."""
    if pairs <= _ALL_SWAPS:
        yield np.array(list(itertools.product((False, True), repeat=pairs)))
        return
    rng, block = np.random.default_rng(seed), max(1, _BLOCK // pairs)
    for start in range(0, _DRAWN, block):
        yield rng.random((min(block, _DRAWN - start), pairs)) < 0.5


def _swapped(
    before: Sequence[NDArray[np.float64]], after: Sequence[NDArray[np.float64]], swaps: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The difference of each way to swap."""
    ends = np.cumsum([group.size for group in before])[:-1]
    one, other = [], []
    for first, second, swapped in zip(before, after, np.split(swaps, ends, axis=1), strict=True):
        one.append(np.where(swapped, second, first))
        other.append(np.where(swapped, first, second))
    return _difference(one, other)


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
