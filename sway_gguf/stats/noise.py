"""How large a mean may be by rounding alone, from one rerun of the base. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import variance

_ERRORS = 2.0
"""Standard errors above the mean that was seen: about the upper end of a 95% interval."""


def noise_limit(value: float, items: Sequence[float], controls: Sequence[float] = ()) -> float:
    """|value| + 2·SE, where `value` is the mean of `items`, less that of `controls`.

    One rerun is one draw: a mean of changes of both signs may come out near 0 by luck, and a mean of sizes lies above
    its expectation half of the time.
    """
    square = sum(variance(group) / len(group) for group in (items, controls) if len(group) > 1)
    return abs(value) + _ERRORS * float(square**0.5)
