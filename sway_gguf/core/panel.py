"""A panel: the items on which nulls and the real adapter are compared. Knows nothing of what items are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
_STREAM = 0x50414E45
"""Keeps these draws apart from others of the same seed."""


def panel_of(items: Sequence[Item], most: int, seed: int) -> list[Item]:
    """At most `most` of `items`, drawn without looking at them, order kept.

    A larger panel of the same items holds the smaller one, and lists of the same length are drawn from alike, so that
    probes which share their items share their panel.
    """
    if len(items) <= most:
        return list(items)
    order = np.random.Generator(np.random.PCG64([seed, _STREAM, len(items)])).permutation(len(items))
    return [items[place] for place in sorted(order[:most])]
