"""Which views a run visits, and which probes want something of each. Knows probes' wishes, no engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sway_gguf.collect import QueryGroup, count_tokens, groups_of, wanted_by
from sway_gguf.core.queries import Query
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.probes.base import Probe


@dataclass(frozen=True)
class Visit:
    """One view, the places of the probes that measure on it, the groups of queries it takes, and what may follow."""

    view: View
    probes: tuple[int, ...]
    groups: tuple[QueryGroup, ...]
    foreseen: tuple[Query, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """All visits of a run, the base first.

    Attributes:
        visits: in order.
        queries: distinct questions of the probes.
        shown: what base and tuned view are asked in addition, to be shown.
    """

    visits: tuple[Visit, ...]
    queries: int
    shown: tuple[Query, ...] = ()

    def tokens(self, count: Callable[[Query], int]) -> dict[str, int]:
        """Tokens to evaluate, by kind of view: base, tuned, scaled and null."""
        totals: dict[str, int] = {}
        counted = cache(count)
        for visit in self.visits:
            name = _kind(visit.view)
            tokens = count_tokens(visit.groups, counted) + sum(map(counted, visit.foreseen))
            totals[name] = totals.get(name, 0) + tokens
        return totals

    def shown_cost(self, count: Callable[[Query], int]) -> int:
        """Tokens that are evaluated for what is shown alone."""
        return len(_SHOWING) * sum(map(count, self.shown))

    def cost(self, place: int, count: Callable[[Query], int]) -> int:
        """Tokens that the probe in a place asks for over all views; what others ask for as well counts for each."""
        total = 0
        for visit in self.visits:
            if place in visit.probes:
                own = (group for group in visit.groups if place in group.askers)
                total += sum(count(query) for group in own for query in group.queries)
        return total


_SHOWING = (BASE, TUNED)


def schedule(
    probes: Sequence[Probe[Any]],
    seeds: Sequence[int],
    design: NullDesign,
    profile: Sequence[float] = (),
    shown: Sequence[Query] = (),
) -> Schedule:
    """Lay out a run: base, base in another layout, tuned, each λ, each null. One visit per view.

    Args:
        probes: in order; those that measure files alone visit nothing.
        seeds: of the nulls.
        design: of the nulls that calibrate.
        profile: further rank scales at which the same seeds are drawn, to be shown beside.
        shown: what base and tuned view are asked to be shown. What a probe asks too is answered for it; the rest is
            answered apart from what probes ask, so that no number of theirs depends on it.
    """
    everyone = [place for place, probe in enumerate(probes) if not (probe.static or probe.foreign)]
    groups = groups_of({place: probes[place].ask() for place in everyone})
    wishes: list[tuple[View, list[int]]] = [
        (BASE, [*everyone]),
        (BASE_RERUN, [*everyone]),
        (TUNED, [*everyone]),
    ]
    scales = sorted({scale for probe in probes for scale in probe.scales})
    wishes += [(ScaledView(s), [i for i in everyone if s in probes[i].scales]) for s in scales]
    for scale in (design.rank_scale, *profile):
        of_rank = replace(design, rank_scale=scale)
        wishes += [
            (NullView(seed, of_rank), [i for i in everyone if number < _most_nulls(probes[i], len(seeds))])
            for number, seed in enumerate(seeds)
        ]
    asked = {query for group in groups for query in group.queries}
    more = tuple(query for query in dict.fromkeys(shown) if query not in asked) if everyone else ()
    apart = (QueryGroup(more, frozenset()),) if more else ()
    foreseen = [tuple(probe.foresee()) for probe in probes]
    visits = tuple(
        Visit(
            view,
            tuple(places),
            (*wanted_by(groups, set(places)), *(apart if view in _SHOWING else ())),
            tuple(query for place in places for query in foreseen[place]),
        )
        for view, places in wishes
        if places
    )
    return Schedule(visits, len(asked), more)


def _most_nulls(probe: Probe[Any], available: int) -> int:
    return available if probe.nulls is None else probe.nulls


def _kind(view: View) -> str:
    if isinstance(view, NullView):
        return "null"
    if isinstance(view, ScaledView):
        return "tuned" if view.scale == 1.0 else "scaled"
    return "base"
