"""Which of the measured candidates ships: collateral, the noise band, the Pareto set, over-training. Knows numbers.

The choice is made on one half of the items. Nothing is asked here, and nothing said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sway_gguf.choose.contenders import Contender, earliest_first
from sway_gguf.choose.lifts import Lifts
from sway_gguf.core.panel import panel_of
from sway_gguf.core.pick import Estimate, Standing
from sway_gguf.core.scales import nearest_to_one
from sway_gguf.stats.interval import MIN_ITEMS, estimate, interval_of
from sway_gguf.stats.pairwise import pairwise_bounds
from sway_gguf.stats.simultaneous import lower_bounds

NEGLIGIBLE = 0.01
"""Nats per token: what differs by less counts as equal, however sure the difference is."""

Bounds = NDArray[np.float64]
Items = Callable[[Lifts], Sequence[float]]
_UNRELATED: tuple[Items, ...] = (lambda lifts: lifts.prose, lambda lifts: lifts.everyday)


@dataclass(frozen=True, slots=True)
class Halves:
    """Places of the items on which is chosen, and of those on which the winner is reported; none where too few."""

    choosing: tuple[int, ...]
    reporting: tuple[int, ...]


def halves_of(keys: Sequence[Hashable], seed: int) -> Halves:
    """Items in two halves, drawn by seed and content; all of them choose where a half would be too few.

    Args:
        keys: of each item, what it says; no two say the same.
        seed: of the draw.
    """
    count = len(keys)
    if count < 2 * MIN_ITEMS:
        return Halves(tuple(range(count)), ())
    drawn = set(panel_of(keys, count - count // 2, seed))
    halves = ([place for place, key in enumerate(keys) if (key in drawn) == chosen] for chosen in (True, False))
    return Halves(*map(tuple, halves))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen among candidates, by place.

    Attributes:
        best: of the largest lift on the choosing half; None where no candidate may win.
        band: of those that are not surely worse than the best, the earliest first; the first of them is taken.
        short: by how much the taken one's lift lies below the best's at most, with 95% confidence; None where they are
            the same, or there are too few items.
        strict: whether collateral of the taken one is surely within the tolerance.
    """

    best: int | None
    band: tuple[int, ...] = ()
    short: float | None = None
    strict: bool = True

    @property
    def taken(self) -> int | None:
        """Of the one that is taken."""
        return self.band[0] if self.band else None


def gains(lifts: Lifts) -> list[Sequence[float]]:
    """Groups of unrelated text, whose gain no lift is credited with."""
    return [group for group in (lifts.prose, lifts.everyday) if len(group) >= MIN_ITEMS]


def standings(measured: Mapping[int, Lifts], tolerance: float, seed: int) -> dict[int, Standing]:
    """Where each candidate's collateral lies, sure for all candidates at once."""
    if not measured:
        return {}
    found = dict.fromkeys(measured, Standing.WITHIN)
    present = [table for table in _UNRELATED if all(len(table(lifts)) >= MIN_ITEMS for lifts in measured.values())]
    confidence = 1 - 0.05 / max(1, len(present))
    for table in present:
        rows = [np.asarray(table(lifts), np.float64) for lifts in measured.values()]
        low = lower_bounds(rows, seed=seed, confidence=confidence)
        high = lower_bounds([-row for row in rows], seed=seed, confidence=confidence)
        assert low is not None
        assert high is not None
        for place, least, most in zip(measured, low, -high, strict=True):
            if most < tolerance:
                found[place] = Standing.BEYOND
            elif least < tolerance and found[place] == Standing.WITHIN:
                found[place] = Standing.OPEN
    if not present:
        found = dict.fromkeys(measured, Standing.OPEN)
    return found | {place: Standing.ENDLESS for place, lifts in measured.items() if lifts.endless}


def scores_of(lifts: Lifts, items: Sequence[float]) -> float:
    """Mean of the items less what unrelated text gained."""
    gained = max([0.0, *(float(np.mean(group)) for group in gains(lifts))])
    return float(np.mean(items)) - gained


def compared(measured: Sequence[Lifts], items: Items, seed: int, confidence: float = 0.95) -> Bounds | None:
    """[k, k] lower bounds of the difference of two candidates' lifts beyond unrelated text, all pairs at once.

    The gain that is taken off is that of the group that gained most, with its own scatter.
    """
    groups = [np.array([items(lifts) for lifts in measured], np.float64)]
    for each in _UNRELATED:
        if all(len(each(lifts)) >= MIN_ITEMS for lifts in measured):
            groups.append(np.array([-_taken_off(lifts, each(lifts)) for lifts in measured]))
    return pairwise_bounds(groups, seed=seed, confidence=confidence)


def _taken_off(lifts: Lifts, group: Sequence[float]) -> Bounds:
    """What a group of unrelated text takes off the lift, item by item: nothing unless it gained most of all."""
    mean = float(np.mean(group))
    most = mean > 0 and mean == max(float(np.mean(each)) for each in gains(lifts))
    return np.asarray(group, np.float64) if most else np.zeros(len(group))


def choose(
    contenders: Sequence[Contender],
    measured: Mapping[int, Lifts],
    standing: Mapping[int, Standing],
    items: Items,
    halves: Halves,
    seed: int,
    above: Lifts | None = None,
) -> Choice:
    """The earliest of those that are as good as the best within noise, on the choosing half.

    Candidates whose collateral is surely within the tolerance come first; where there is none, those come for which
    that is open.

    Args:
        contenders: all.
        measured: those that gave numbers, by place.
        standing: of their collateral.
        items: what is to be large.
        halves: of these items.
        seed: of the comparison.
        above: what is loaded without any candidate, which one has to lift the items further than.
    """

    def on_half(lifts: Lifts) -> list[float]:
        values = items(lifts)
        return [values[place] for place in halves.choosing]

    least = max(0.0, scores_of(above, on_half(above))) if above and halves.choosing else 0.0
    for wanted in (Standing.WITHIN, Standing.OPEN):
        scores = {
            place: scores_of(lifts, on_half(lifts))
            for place, lifts in measured.items()
            if standing[place] == wanted and halves.choosing
        }
        able = [place for place, score in scores.items() if score > least]
        if able:
            best = max(able, key=lambda place: scores[place])
            bounds = compared([measured[place] for place in able], on_half, seed)
            band = _band(contenders, able, best, bounds)
            short = None if bounds is None or band[0] == best else -float(bounds[able.index(band[0]), able.index(best)])
            return Choice(best, band, short, wanted == Standing.WITHIN)
    return Choice(None)


def _band(contenders: Sequence[Contender], able: Sequence[int], best: int, bounds: Bounds | None) -> tuple[int, ...]:
    """Not surely worse than the best, the earliest first; the best alone where nothing can be said."""
    if bounds is None:
        return (best,)
    above = bounds[able.index(best)]
    equal = [place for place, bound in zip(able, above, strict=True) if place == best or bound <= NEGLIGIBLE]
    by_steps = all(contenders[place].step is not None for place in equal)
    return tuple(sorted(equal, key=lambda place: earliest_first(contenders[place], by_steps=by_steps)))


def added(lifts: Lifts, alone: Lifts, items: Items, confidence: float = 0.95) -> Estimate | None:
    """What a candidate adds to the lift of what is loaded beside it, paired item by item, each beyond what unrelated
    text gained; None where there are too few items.

    Skewness is taken out of its ends, which `compared` does not: items that lose much are easily missed among few. Of
    eight with a long lower tail the lower end is wrong in 5 to 8%, where it would be in 10 to 20%, and 2.5% are meant.
    """
    own, before = items(lifts), items(alone)
    if len(own) < MIN_ITEMS:
        return None
    parts = [np.subtract(own, before, dtype=np.float64)]
    for each in _UNRELATED:
        if min(len(each(lifts)), len(each(alone))) >= MIN_ITEMS:
            parts.append(_taken_off(alone, each(alone)) - _taken_off(lifts, each(lifts)))
    value = scores_of(lifts, own) - scores_of(alone, before)
    found = interval_of(estimate(value, parts), confidence)
    return Estimate(value, (found.low, found.high), len(own))


def pareto(costs: Mapping[int, tuple[float, float]]) -> set[int]:
    """Places of those that none matches in both (lift, change of unrelated text) and beats in one."""
    return {
        place
        for place, (lift, cost) in costs.items()
        if not any(
            other_lift >= lift and other_cost >= cost and (other_lift, other_cost) != (lift, cost)
            for other_lift, other_cost in costs.values()
        )
    }


def overtrained(
    contenders: Sequence[Contender], measured: Mapping[int, Lifts], seed: int, confidence: float = 0.95
) -> tuple[int, int] | None:
    """The first candidate whose held-out lift surely fell while that on the data surely rose, and from which on.

    Candidates of the scale nearest to 1 are looked at in order of steps; both statements hold for all pairs at once.

    Returns:
        (the earlier, the later) place; None where nothing surely falls.
    """
    stepped = [place for place in measured if contenders[place].step is not None]
    if not stepped:
        return None
    scale = nearest_to_one(contenders[place].scale for place in stepped)
    row = sorted((p for p in stepped if contenders[p].scale == scale), key=lambda place: contenders[place].step or 0)
    kept, each = [measured[place] for place in row], 1 - (1 - confidence) / 2
    fell = compared(kept, lambda lifts: lifts.held_out, seed, each)
    rose = compared(kept, lambda lifts: lifts.data, seed, each)
    if fell is None or rose is None:
        return None
    for later in range(1, len(row)):
        pairs = [i for i in range(later) if fell[i, later] > NEGLIGIBLE and rose[later, i] > NEGLIGIBLE]
        if pairs:
            return row[max(pairs, key=lambda i: fell[i, later])], row[later]
    return None
