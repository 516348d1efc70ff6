"""A candidate's numbers as a row of the table: means with their intervals. Knows numbers and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sway_gguf.choose.choice import gains, pareto, scores_of, standings
from sway_gguf.choose.contenders import Contender
from sway_gguf.choose.lifts import Lifts
from sway_gguf.core.pick import Estimate, PickRow, Standing
from sway_gguf.stats.interval import gap_interval, mean_interval
from sway_gguf.stats.unseen import Span

_FLAGS: Span = (-1.0, 1.0)
"""Of a passage: that it ceased to be discoverable, or became so."""


def row_of(contender: Contender, lifts: Lifts, standing: Standing, tolerance: float) -> PickRow:
    """All that was found of a candidate."""
    return PickRow(
        name=contender.name,
        path=str(contender.path),
        step=contender.step,
        scale=contender.scale,
        data=lift_of(lifts, lifts.data),
        held_out=lift_of(lifts, lifts.held_out),
        prose=_mean(lifts.prose),
        everyday=_mean(lifts.everyday),
        leakage=_leakage(lifts),
        ending=_mean(lifts.ending),
        standing=standing,
        reason=_reason(lifts, standing, tolerance),
    )


def rows_of(
    contenders: Sequence[Contender],
    measured: Mapping[int, Lifts],
    broken: Mapping[int, str],
    standing: Mapping[int, Standing],
    band: Sequence[int],
    tolerance: float,
) -> tuple[PickRow, ...]:
    """Every candidate so far, those that are equal to the best, and those that none beats in lift and cost, marked."""
    rows = {place: row_of(contenders[place], lifts, standing[place], tolerance) for place, lifts in measured.items()}
    costs = {
        place: (row.lift.value, row.cost)
        for place, row in rows.items()
        if row.lift is not None and row.cost is not None
    }
    best = pareto(costs)
    return tuple(
        replace(rows[place], pareto=place in best, equal=place in band)
        if place in rows
        else broken_row(contender, broken[place])
        for place, contender in enumerate(contenders)
    )


def alone_row(name: str, lifts: Lifts, tolerance: float, seed: int) -> PickRow:
    """What is loaded beside every candidate, without any."""
    (standing,) = standings({0: lifts}, tolerance, seed).values()
    without = Contender(name, Path(), 1.0, None, 0, 0.0)
    return replace(row_of(without, lifts, standing, tolerance), path="")


def _reason(lifts: Lifts, standing: Standing, tolerance: float) -> str:
    """Why collateral stands where it does."""
    if standing == Standing.ENDLESS:
        return lifts.endless
    if not lifts.prose and not lifts.everyday:
        return "unrelated text says nothing here"
    return {
        Standing.WITHIN: f"unrelated text surely loses no more than {-tolerance:g} nats/token",
        Standing.OPEN: f"its interval reaches across {tolerance:g}; more items would narrow it",
        Standing.BEYOND: f"unrelated text surely loses more than {-tolerance:g} nats/token",
    }[standing]


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


def lift_of(lifts: Lifts, items: Sequence[float]) -> Estimate | None:
    """Mean of some of a candidate's items beyond what unrelated text gained; None without items."""
    if not items:
        return None
    found = mean_interval(items, gains(lifts))
    return Estimate(scores_of(lifts, items), found and (found.low, found.high), len(items))


def _mean(values: Sequence[float], within: Span | None = None) -> Estimate | None:
    if not values:
        return None
    found = mean_interval(values, within=within)
    return Estimate(float(np.mean(values)), found and (found.low, found.high), len(values))


def _leakage(lifts: Lifts) -> Estimate | None:
    """Share of passages that became discoverable, less that of passages that were never trained on."""
    if not lifts.leaked:
        return None
    if not lifts.leaked_unseen:
        return _mean(lifts.leaked, _FLAGS)
    value = float(np.mean(lifts.leaked) - np.mean(lifts.leaked_unseen))
    found = gap_interval(lifts.leaked, lifts.leaked_unseen, within=_FLAGS)
    return Estimate(value, found and (found.low, found.high), len(lifts.leaked))
