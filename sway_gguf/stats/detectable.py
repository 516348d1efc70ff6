"""How large an effect must be for so many items to show it. Knows lists of numbers; does not know what an item is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sway_gguf.stats.student import stdtrit
from sway_gguf.stats.unseen import Room, Span, are_equal, farthest, needed

CONFIDENCE, POWER = 0.95, 0.8
_MISS = (1 - CONFIDENCE) / 2
FEWEST = 3
"""Two items say next to nothing of their spread."""
MOST = 10_000
"""More items than this nobody gives."""


def detectable(values: Sequence[float], within: Span | None = None) -> float | None:
    """The smallest mean that items with the spread of these tell from zero in four of five samples.

    d = (t₀.₉₇₅ + t₀.₈) · s / √n on n − 1 degrees of freedom: from there on the interval of the mean, ± t₀.₉₇₅ · s / √n,
    leaves out zero in four of five samples of n items. It is the usual formula for the size of a sample, with t for the
    normal; by the noncentral t it is short by 5% for three items, by 1% for five. The same d tells what does no harm
    from a loss of d: a tolerance smaller than it is not passed reliably.

    Args:
        values: [n], one per item.
        within: the least and the most that an item can be, where all may be equal by chance. Equal items show no
            spread, and the loss is told that unlike ones could hide (`stats/unseen.py`).

    Returns:
        In the unit of the values; None for fewer than `FEWEST` items.
    """
    if len(values) < FEWEST:
        return None
    if within is not None and are_equal(values, within):
        return farthest([Room(values[0] - within[0], len(values))], _MISS)
    return _reach(len(values)) * float(np.std(np.asarray(values, np.float64), ddof=1))


def more_items(values: Sequence[float], effect: float, within: Span | None = None) -> int | None:
    """How many items in addition, with the spread of these, tell a mean of `effect` from zero in four of five samples.

    Args:
        values: [n] of `FEWEST` items or more.
        effect: above zero, in the unit of the values.
        within: as of `detectable`.

    Returns:
        0 where these do; None where `MOST` in all would not.
    """
    if within is not None and are_equal(values, within) and values[0] > within[0]:
        count = needed(values[0] - within[0], effect, _MISS)
        return None if count > MOST else max(0, count - len(values))
    spread = float(np.std(np.asarray(values, np.float64), ddof=1))
    low, high = len(values), MOST
    if _reach(high) * spread > effect:
        return None
    while low < high:  # The reach falls with the number of items.
        middle = (low + high) // 2
        low, high = (low, middle) if _reach(middle) * spread <= effect else (middle + 1, high)
    return low - len(values)


def _reach(items: int) -> float:
    """(t₀.₉₇₅ + t₀.₈) / √n."""
    both = (stdtrit(items - 1, level) for level in ((1 + CONFIDENCE) / 2, POWER))
    return math.fsum(both) / math.sqrt(items)
