"""Signs to turn: of a few items every assignment, of more as many as are drawn. Knows how many items there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def signs_of(count: int, *, every: int, seed: int) -> NDArray[np.float64]:
    """[m, count] of 1 and −1.

    Args:
        count: of the items.
        every: up to so many items every assignment is taken; beyond, as many are drawn as would be here.
        seed: of those that are drawn.
    """
    if count <= every:
        bits = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (1 << every, count))
    return np.asarray(1.0 - 2.0 * bits, np.float64)
