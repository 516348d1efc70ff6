"""Family-wise rank p-values over several probes at once (Westfall & Young 1993). Knows a table of values only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def family_rank_p(values: Sequence[Sequence[float]]) -> list[float]:
    """Step-down maxT p-values by rank, one per probe.

    Row k holds probe k's value for the real adapter and then for each null, all in the direction "higher is
    better" and in the same order of nulls. Each row is standardized over all its views, the real one among them,
    so that the views stay exchangeable. Probes are taken from the most extreme down: a probe's p is the share of
    views whose largest value over that probe and the ones after it is at least the real one's, made monotone.
    Under the complete null the chance that any p is at most a is at most a, whatever the values' distribution
    and however the probes depend on each other.

    Raises:
        ValueError: rows of different lengths.
    """
    if not values:
        return []
    if len({len(row) for row in values}) != 1:
        raise ValueError("every probe needs a value for every view")
    table = np.asarray(values, np.float64)
    sd = table.std(axis=1, keepdims=True)
    scores = (table - table.mean(axis=1, keepdims=True)) / np.where(sd > 0, sd, 1.0)
    order = np.argsort(-scores[:, 0], kind="stable")
    p_values, running = np.empty(len(order)), 0.0
    for step, probe in enumerate(order):
        largest = scores[order[step:]].max(axis=0)
        running = max(running, float((largest >= scores[probe, 0]).mean()))
        p_values[probe] = running
    return [float(p) for p in p_values]
