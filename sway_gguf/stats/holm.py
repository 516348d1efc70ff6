"""Holm's correction (Holm 1979). Knows p-values only."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: reject where the adjusted p is below alpha.

    The k-th smallest of n is multiplied by n − k + 1, made monotone and capped at 1. The family-wise error
    rate stays at alpha whatever the dependence between the tests.
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted
