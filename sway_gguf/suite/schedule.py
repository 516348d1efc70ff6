"""Which views a run visits, and which probes want something of each. Knows probes' wishes, no engine.

Base and tuned view answer everything. Nulls, and the base's rerun, answer a panel: the items that are compared, drawn
before anything is asked. Nulls come in looks, and what is asked only where damage did not pass comes last.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sway_gguf.collect import CountTokens, QueryGroup, count_tokens, groups_of, wanted_by
from sway_gguf.core.queries import Query
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, NullDesign, NullView, ScaledView, View
from sway_gguf.probes.base import SHOWN_NULLS, Probe

_SHOWING = (BASE, TUNED)


@dataclass(frozen=True)
class Visit:
    """One view, and what is asked of it.

    Attributes:
        view: to open.
        asked: what each probe asks of it, by the probe's place.
        groups: the same, in the groups that are answered together.
        foreseen: what may follow.
        panel: whether probes stand on their panel here.
    """

    view: View
    asked: Mapping[int, tuple[Query, ...]]
    groups: tuple[QueryGroup, ...]
    foreseen: tuple[Query, ...] = ()
    panel: bool = False

    @property
    def probes(self) -> tuple[int, ...]:
        """Places of the probes that measure here."""
        return tuple(self.asked)

    def only(self, places: Collection[int]) -> Visit:
        """The same null for these probes of damage alone."""
        asked = {place: queries for place, queries in self.asked.items() if place in places}
        return replace(self, asked=asked, groups=tuple(wanted_by(self.groups, {("size", place) for place in asked})))


@dataclass(frozen=True)
class Schedule:
    """All visits of a run.

    Attributes:
        visits: the base first; all of them are made.
        looks: nulls that decide, by the look at which they are read; a look may end before its last null, or not begin.
        sizes: nulls that show what size alone does, made for the probes of damage that did not pass.
        panels: the probes as nulls and the rerun see them, by place.
        queries: distinct questions of the probes.
        shown: what base and tuned view are asked in addition, to be shown.
    """

    visits: tuple[Visit, ...]
    looks: tuple[tuple[Visit, ...], ...]
    sizes: tuple[Visit, ...]
    panels: tuple[Probe[Any], ...] = field(compare=False)
    queries: int
    shown: tuple[Query, ...] = ()

    @property
    def every(self) -> tuple[Visit, ...]:
        """The longest run that it can become."""
        return (*self.visits, *(visit for look in self.looks for visit in look), *self.sizes)

    @property
    def fewest(self) -> tuple[Visit, ...]:
        """The run that the first look ends, and in which no damage is found."""
        return (*self.visits, *(self.looks[0] if self.looks else ()))

    def shown_cost(self, count: CountTokens) -> int:
        """Tokens that are evaluated for what is shown alone."""
        return len(_SHOWING) * count(self.shown)

    def cost(self, place: int, count: CountTokens) -> int:
        """Tokens that the probe in a place asks for over all views; what others ask for as well counts for each."""
        return sum(count(visit.asked[place]) for visit in self.every if place in visit.asked)


def tokens_of(visits: Sequence[Visit], count: CountTokens) -> dict[str, int]:
    """Tokens to evaluate, by kind of view: base, tuned, scaled and null."""
    totals: dict[str, int] = {}
    counted = cache(count)
    for visit in visits:
        name = _kind(visit.view)
        tokens = count_tokens(visit.groups, counted) + counted(visit.foreseen)
        totals[name] = totals.get(name, 0) + tokens
    return totals


@dataclass(frozen=True)
class Nulls:
    """The nulls of a run.

    Attributes:
        seeds: of those that decide, in order.
        design: of them.
        profile: further rank scales at which the same seeds are drawn, to be shown beside.
        panel: items that they answer; None for all.
        first: how many the first look takes; None for a single look.
        everything: whether they answer for every probe that shows nulls, whatever came out.
    """

    seeds: Sequence[int] = ()
    design: NullDesign = field(default_factory=NullDesign)
    profile: Sequence[float] = ()
    panel: int | None = None
    first: int | None = None
    everything: bool = False


def schedule(probes: Sequence[Probe[Any]], nulls: Nulls | None = None, shown: Sequence[Query] = ()) -> Schedule:
    """Lay out a run: base, base in another layout, tuned, each λ, then the nulls. One visit per view and look.

    Args:
        probes: in order; those that measure files alone visit nothing.
        nulls: to compare with.
        shown: what base and tuned view are asked to be shown. What a probe asks too is answered for it; the rest is
            answered apart from what probes ask, so that no number of theirs depends on it.
    """
    return _Planner(probes, nulls or Nulls()).schedule(shown)


class _Planner:
    """Puts wishes together; the groups follow from which views share what."""

    def __init__(self, probes: Sequence[Probe[Any]], nulls: Nulls) -> None:
        self._probes, self._nulls = probes, nulls
        most = nulls.panel
        self._panels = tuple(probe if most is None else probe.on_panel(most) for probe in probes)
        self._everyone = [place for place, probe in enumerate(probes) if not (probe.static or probe.foreign)]
        self._decided = [place for place in self._everyone if probes[place].rule.by_nulls]
        self._sized = [p for p in self._everyone if p not in self._decided and probes[p].nulls != 0]
        self._whole = {place: tuple(probes[place].ask()) for place in self._everyone}
        self._part = {place: tuple(self._panels[place].ask()) for place in self._everyone}
        self._groups = groups_of(self._askers())

    def _askers(self) -> dict[Hashable, Sequence[Query]]:
        """What is asked, by views that ask alike: base and tuned view; the rerun; nulls; each λ; nulls for size.

        The fewer groups, the more beginnings are read once for all that follows them.
        """
        asks: dict[Hashable, list[Query]] = {"all": [], "rerun": [], "null": [], "scaled": []}
        for place in self._everyone:
            probe, part = self._probes[place], self._part[place]
            asks["all"] += [*self._whole[place], *part]
            asks["rerun"] += part if probe.rule.floored else ()
            asks["null"] += part if place in self._decided else ()
            asks["scaled"] += self._whole[place] if probe.scales else ()
            if place in self._sized:
                asks["size", place] = list(part)
        return dict(asks)

    def schedule(self, shown: Sequence[Query]) -> Schedule:
        """All visits."""
        asked = {query for group in self._groups for query in group.queries}
        more = tuple(query for query in dict.fromkeys(shown) if query not in asked) if self._everyone else ()
        visits = [*self._usual(more), *self._profile()]
        looks = self._looks()
        sizes = [] if self._nulls.everything else [self._null(seed, self._sized) for seed in self._shown_seeds]
        return Schedule(
            tuple(visit for visit in visits if visit.asked),
            tuple(tuple(look) for look in looks if look),
            tuple(visit for visit in sizes if visit.asked),
            self._panels,
            len(asked),
            more,
        )

    def _usual(self, shown: tuple[Query, ...]) -> list[Visit]:
        apart = (QueryGroup(shown, frozenset()),) if shown else ()
        floored = [place for place in self._everyone if self._probes[place].rule.floored]
        base, tuned = (self._visit(view, self._everyone, {"all"}, apart) for view in (BASE, TUNED))
        rerun = self._visit(BASE_RERUN, floored, {"rerun"}, panel=True)
        scales = sorted({scale for probe in self._probes for scale in probe.scales})
        return [base, rerun, tuned, *map(self._scaled, scales)]

    def _scaled(self, scale: float) -> Visit:
        places = [place for place in self._everyone if scale in self._probes[place].scales]
        return self._visit(ScaledView(scale), places, {"scaled"})

    def _looks(self) -> list[list[Visit]]:
        always = set(self._shown_seeds) if self._nulls.everything else set()
        nulls = [
            self._null(seed, [*self._decided, *(self._sized if seed in always else [])]) for seed in self._nulls.seeds
        ]
        first = len(nulls) if self._nulls.first is None else self._nulls.first
        made = [visit for visit in nulls if visit.asked]
        return [made[:first], made[first:]]

    def _profile(self) -> list[Visit]:
        return [self._null(seed, self._decided, scale) for scale in self._nulls.profile for seed in self._nulls.seeds]

    @property
    def _shown_seeds(self) -> Sequence[int]:
        return self._nulls.seeds[:SHOWN_NULLS]

    def _null(self, seed: int, places: Sequence[int], scale: float | None = None) -> Visit:
        design = self._nulls.design if scale is None else replace(self._nulls.design, rank_scale=scale)
        askers: set[Hashable] = {("size", place) for place in places if place in self._sized}
        decided = {"null"} if any(place in self._decided for place in places) else set()
        return self._visit(NullView(seed, design), places, askers | decided, panel=True)

    def _visit(
        self,
        view: View,
        places: Sequence[int],
        askers: set[Hashable],
        more: tuple[QueryGroup, ...] = (),
        *,
        panel: bool = False,
    ) -> Visit:
        probes, asked = (self._panels, self._part) if panel else (self._probes, self._whole)
        foreseen = tuple(query for place in places for query in probes[place].foresee())
        wanted = wanted_by(self._groups, askers)
        return Visit(view, {place: asked[place] for place in places}, (*wanted, *more), foreseen, panel)


def _kind(view: View) -> str:
    if isinstance(view, NullView):
        return "null"
    if isinstance(view, ScaledView):
        return "tuned" if view.scale == 1.0 else "scaled"
    return "base"
