"""A candidate's numbers as a row of the table: means with their intervals. Knows numbers and records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sway_gguf.choose.choice import gains, scores_of
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.lifts import Lifts
from sway_gguf.core.pick import Estimate, PickRow, Standing
from sway_gguf.stats.bootstrap import gap_interval, mean_interval


def row_of(contender: Contender, lifts: Lifts, standing: Standing, reason: str, seed: int) -> PickRow:
    """All that was found of a candidate."""
    return PickRow(
        name=contender.name,
        path=str(contender.path),
        step=contender.step,
        scale=contender.scale,
        data=lift_of(lifts, lifts.data, seed),
        held_out=lift_of(lifts, lifts.held_out, seed),
        prose=_mean(lifts.prose, seed),
        everyday=_mean(lifts.everyday, seed),
        leakage=_leakage(lifts, seed),
        ending=_mean(lifts.ending, seed),
        standing=standing,
        reason=reason,
    )


def broken_row(contender: Contender, reason: str) -> PickRow:
    """A candidate that gave numbers which are not finite."""
    return PickRow(
        contender.name,
        str(contender.path),
        contender.step,
        contender.scale,
        standing=Standing.BROKEN,
        reason=reason,
    )


def lift_of(lifts: Lifts, items: Sequence[float], seed: int) -> Estimate | None:
    """Mean of some of a candidate's items beyond what unrelated text gained; None without items."""
    if not items:
        return None
    found = mean_interval(items, gains(lifts), seed=seed)
    return Estimate(scores_of(lifts, items), found and (found.low, found.high), len(items))


def _mean(values: Sequence[float], seed: int) -> Estimate | None:
    if not values:
        return None
    found = mean_interval(values, seed=seed)
    return Estimate(float(np.mean(values)), found and (found.low, found.high), len(values))


def _leakage(lifts: Lifts, seed: int) -> Estimate | None:
    """Share of passages that became discoverable, less that of passages that were never trained on."""
    if not lifts.leaked:
        return None
    if not lifts.leaked_unseen:
        return _mean(lifts.leaked, seed)
    value = float(np.mean(lifts.leaked) - np.mean(lifts.leaked_unseen))
    found = gap_interval(lifts.leaked, lifts.leaked_unseen, seed=seed)
    return Estimate(value, found and (found.low, found.high), len(lifts.leaked))
