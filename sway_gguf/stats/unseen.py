"""How far items that nobody has seen may move a mean of items that are all equal. Knows counts and chances.

Equal items show no scatter. Where a value is a share or a score of few steps, they may be equal by chance: though five
replies all came out right, half of those that were never asked for may come out wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Span = tuple[float, float]
"""The least and the most that an item can be."""
_CLOSE = 1e-9


def are_equal(values: ArrayLike, within: Span) -> bool:
    """Whether items differ by no more than rounding."""
    return float(np.ptp(np.asarray(values, np.float64))) <= _CLOSE * (within[1] - within[0])


class Room(NamedTuple):
    """What a group of equal items leaves open.

    Attributes:
        room: how far an unlike item may lie from them, in the direction asked.
        items: how many were seen.
    """

    room: float
    items: int


def farthest(groups: Sequence[Room], miss: float) -> float:
    """The most by which unlike items may move a sum of means, but for a chance of `miss`.

    If a share s of all items is unlike, n items are alike with a chance of (1 − s)ⁿ. So all shares with Π(1 − sᵢ)^nᵢ ≥
    miss are left, and Σ roomᵢ·sᵢ is largest where roomᵢ·(1 − sᵢ)/nᵢ is the same for all groups with a share at all. For
    one group that is Clopper and Pearson's bound (1934) of none in n.

    Returns:
        In the unit of the rooms; 0 for no groups.
    """
    active = [group for group in groups if group.room > 0]
    while active:
        total = sum(group.items for group in active)
        log = sum(group.items * math.log(group.room / group.items) for group in active) + math.log(miss)
        level = math.exp(log / total)
        inside = [group for group in active if group.room / group.items > level]
        if len(inside) == len(active):
            return sum(group.room - level * group.items for group in active)
        active = inside
    return 0.0


def needed(room: float, distance: float, miss: float) -> int:
    """How many equal items leave open no more than `distance`, but for a chance of `miss`; both above zero."""
    return 1 if distance >= room else math.ceil(math.log(miss) / math.log1p(-distance / room))
