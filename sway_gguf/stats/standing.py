"""What is sure of the lifts of several on the same items, each alone and all together. Knows numbers only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.stats.simultaneous import lower_bounds

GONE = 0.5
"""Share of a lift that is most of it."""
Lifts = NDArray[np.float64]


class Standing(NamedTuple):
    """What is sure of a lift beside the others: some of it is lost, more than the tolerance is, more than half is, no
    more than the tolerance is, or something is added."""

    falls: bool
    loses: bool
    gone: bool
    keeps: bool
    rises: bool


def standings(
    alone: Lifts, together: Lifts, tolerance: float, *, seed: int, confidence: float
) -> tuple[Standing, ...] | None:
    """How adapters stand in a set, by lower bounds that hold for all that is said at once.

    Args:
        alone: [k, n] lifts of each alone, item by item.
        together: [n] lifts of the set.
        tolerance: share of a lift that may be lost.
        seed: of the bounds.
        confidence: with which all of it holds.

    Returns:
        One per adapter; None where the items are too few.
    """
    rows = [
        row
        for own in alone
        for row in (
            own - together,
            (1 - tolerance) * own - together,
            GONE * own - together,
            together - (1 - tolerance) * own,
            together - own,
        )
    ]
    bounds = lower_bounds(rows, seed=seed, confidence=confidence)
    return None if bounds is None else tuple(Standing(*each) for each in (bounds > 0).reshape(len(alone), -1).tolist())
