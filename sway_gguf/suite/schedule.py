"""Which views a run visits, and which probes want something of each. Knows probes' wishes, no engine.

Base and tuned view answer everything. Nulls answer a panel: the items that are compared, drawn before anything is
asked; at the first look a part of it, and so does the base's rerun. What is asked only where damage did not pass comes
last.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from sway_gguf.collect import CountTokens, QueryGroup, groups_of, wanted_by
from sway_gguf.core.queries import Query
from sway_gguf.core.views import BASE, BASE_RERUN, TUNED, MemberView, NullDesign, NullView, ScaledView, View
from sway_gguf.probes.base import SHOWN_NULLS, Probe
from sway_gguf.suite.joining import joined
from sway_gguf.suite.standing import Standers, Standing, standers
from sway_gguf.suite.visit import Visit, tokens_of
from sway_gguf.verdict.looks import FIRST_ITEMS, MOST_FIRST_NULLS

_SHOWING = (BASE, TUNED)
_FIRST = "first"
"""Who asks at the first look."""


@dataclass(frozen=True)
class Schedule:
    """All visits of a run.

    Attributes:
        visits: the base first; all of them are made.
        first: nulls of the first look, all of them made.
        further: that the first look takes in addition, one by one, while they may settle what is left.
        last: all nulls that decide, also those of the first look. It may end before its last null, or not begin.
        sizes: nulls that show what size alone does, made for the probes of damage that did not pass.
        probes: as they stand, by place.
        queries: distinct questions of the probes.
        shown: what base and tuned view are asked in addition, to be shown.
    """

    visits: tuple[Visit, ...]
    first: tuple[Visit, ...]
    further: tuple[Visit, ...]
    last: tuple[Visit, ...]
    sizes: tuple[Visit, ...]
    probes: Standers = field(compare=False)
    queries: int
    shown: tuple[Query, ...] = ()

    @property
    def every(self) -> tuple[Visit, ...]:
        """The longest run that it can become; no null is asked again what it answered at the first look."""
        early = (*self.first, *self.further)
        answered = {visit.view for visit in early}
        later = (*self.last, *self.sizes)
        return (*self.visits, *early, *(each.without(_FIRST) if each.view in answered else each for each in later))

    @property
    def fewest(self) -> tuple[Visit, ...]:
        """The run that the first nulls end, and in which no damage is found."""
        return (*self.visits, *(self.first or self.last))

    def span(self, count: CountTokens) -> tuple[int, int]:
        """Tokens to evaluate: of the shortest run that it can become, and of the longest."""
        least, most = (sum(tokens_of(visits, count).values()) for visits in (self.fewest, self.every))
        return least, most

    def shown_cost(self, count: CountTokens) -> int:
        """Tokens that are evaluated for what is shown alone."""
        return len(_SHOWING) * count(self.shown)

    def cost(self, place: int, count: CountTokens) -> int:
        """Tokens that the probe in a place asks for over all views; what others ask for as well counts for each."""
        return sum(count(visit.asked[place]) for visit in self.every if place in visit.asked)


@dataclass(frozen=True)
class Nulls:
    """The nulls of a run.

    Attributes:
        seeds: of those that decide, in order.
        design: of them.
        profile: further rank scales at which the same seeds are drawn, to be shown beside.
        panel: items that they answer; None for all.
        first: how many the first look begins with; None for a single look.
        most: how many it takes.
        part: items that those of the first look answer.
        everything: whether they answer for every probe that shows nulls, whatever came out.
    """

    seeds: Sequence[int] = ()
    design: NullDesign = field(default_factory=NullDesign)
    profile: Sequence[float] = ()
    panel: int | None = None
    first: int | None = None
    most: int = MOST_FIRST_NULLS
    part: int = FIRST_ITEMS
    everything: bool = False


def schedule(probes: Sequence[Probe[Any]], nulls: Nulls | None = None, shown: Sequence[Query] = ()) -> Schedule:
    """Lay out a run: base, base in another layout, tuned, each λ, each adapter of a set, then the nulls.

    One visit per view and look.

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
        self._nulls = nulls
        self._probes = standers(probes, nulls.panel, None if nulls.first is None else nulls.part)
        # How much rounding does shows on few items; its limit says how few they were.
        self._rerun = Standing.PART if Standing.PART in self._probes else Standing.PANEL
        self._everyone = [place for place, probe in enumerate(probes) if not (probe.static or probe.foreign)]
        self._decided = [place for place in self._everyone if probes[place].rule.by_nulls]
        self._sized = [p for p in self._everyone if p not in self._decided and probes[p].nulls != 0]
        self._asked = {
            standing: {place: tuple(standing_there[place].ask()) for place in self._everyone}
            for standing, standing_there in self._probes.items()
        }
        self._groups = joined(groups_of(self._askers()), self._asks_anyway)

    def _askers(self) -> dict[Hashable, Sequence[Query]]:
        """What is asked, by views that ask alike: base and tuned view; rerun; each λ; each adapter of a set; the first
        look; nulls by probe.

        The fewer groups, the more beginnings are read once for all that follows them.
        """
        first = self._asked.get(Standing.PART, {})
        asks: dict[Hashable, list[Query]] = {"all": [], "rerun": [], "scaled": [], "alone": []}
        asks[_FIRST] = [query for place in self._decided for query in first.get(place, ())]
        early = set(asks[_FIRST])
        for place in self._everyone:
            probe, panel = self._probes[Standing.WHOLE][place], self._asked[Standing.PANEL][place]
            for asked in self._asked.values():
                asks["all"] += asked[place]
            asks["rerun"] += self._asked[self._rerun][place] if probe.rule.floored else ()
            asks["scaled"] += self._asked[Standing.WHOLE][place] if probe.scales else ()
            asks["alone"] += self._asked[Standing.WHOLE][place] if probe.members else ()
            if place in self._decided:
                asks["null", place] = [query for query in panel if query not in early]
            if place in self._sized:
                asks["size", place] = list(panel)
        return dict(asks)

    @staticmethod
    def _asks_anyway(asker: Hashable, askers: Set[Hashable]) -> bool:
        """Those who ask; and what nulls answered at the first look, they need not be asked for what size does."""
        return asker in askers or (_FIRST in askers and isinstance(asker, tuple) and asker[0] == "size")

    def schedule(self, shown: Sequence[Query]) -> Schedule:
        """All visits."""
        asked = {query for group in self._groups for query in group.queries}
        more = tuple(query for query in dict.fromkeys(shown) if query not in asked) if self._everyone else ()
        visits, first = [*self._usual(more), *self._profile()], self._nulls.first or 0
        sizes = [] if self._together else [self._null(seed, self._sized) for seed in self._shown_seeds]
        if self._nulls.everything:
            visits, sizes = [*visits, *sizes], []
        return Schedule(
            _asking(visits),
            _asking(self._early(0, first)),
            _asking(self._early(first, self._nulls.most if first else 0)),
            _asking(self._last()),
            _asking(sizes),
            self._probes,
            len(asked),
            more,
        )

    def _usual(self, shown: tuple[Query, ...]) -> list[Visit]:
        apart = (QueryGroup(shown, frozenset()),) if shown else ()
        probes = self._probes[Standing.WHOLE]
        floored = [place for place in self._everyone if probes[place].rule.floored]
        base, tuned = (self._visit(view, self._everyone, {"all"}, more=apart) for view in (BASE, TUNED))
        rerun = self._visit(BASE_RERUN, floored, {"rerun"}, self._rerun)
        scales = sorted({scale for probe in probes for scale in probe.scales})
        members = sorted({member for probe in probes for member in probe.members})
        return [base.uncompared(), rerun, tuned, *map(self._scaled, scales), *map(self._alone, members)]

    def _scaled(self, scale: float) -> Visit:
        places = [place for place in self._everyone if scale in self._probes[Standing.WHOLE][place].scales]
        return self._visit(ScaledView(scale), places, {"scaled"})

    def _alone(self, member: int) -> Visit:
        places = [place for place in self._everyone if member in self._probes[Standing.WHOLE][place].members]
        return self._visit(MemberView(member), places, {"alone"})

    @property
    def _together(self) -> bool:
        """Whether the nulls that decide show in the same visit what size does; a last look may not come to be made."""
        return self._nulls.everything and self._nulls.first is None

    def _early(self, start: int, end: int) -> list[Visit]:
        return [
            self._visit(NullView(seed, self._nulls.design), self._decided, {_FIRST}, Standing.PART)
            for seed in self._nulls.seeds[start:end]
        ]

    def _last(self) -> list[Visit]:
        always = set(self._shown_seeds) if self._together else set()
        return [
            self._null(seed, [*self._decided, *(self._sized if seed in always else [])]) for seed in self._nulls.seeds
        ]

    def _profile(self) -> list[Visit]:
        return [self._null(seed, self._decided, scale) for scale in self._nulls.profile for seed in self._nulls.seeds]

    @property
    def _shown_seeds(self) -> Sequence[int]:
        return self._nulls.seeds[:SHOWN_NULLS]

    def _null(self, seed: int, places: Sequence[int], scale: float | None = None) -> Visit:
        design = self._nulls.design if scale is None else replace(self._nulls.design, rank_scale=scale)
        askers: set[Hashable] = {("size" if place in self._sized else "null", place) for place in places}
        if any(place in self._decided for place in places):
            askers.add(_FIRST)
        return self._visit(NullView(seed, design), places, askers, Standing.PANEL)

    def _visit(
        self,
        view: View,
        places: Sequence[int],
        askers: set[Hashable],
        standing: Standing = Standing.WHOLE,
        *,
        more: tuple[QueryGroup, ...] = (),
    ) -> Visit:
        foreseen = tuple(query for place in places for query in self._probes[standing][place].foresee())
        asked = {place: self._asked[standing][place] for place in places}
        return Visit(view, asked, (*wanted_by(self._groups, askers), *more), foreseen, standing)


def _asking(visits: Sequence[Visit]) -> tuple[Visit, ...]:
    return tuple(visit for visit in visits if visit.asked)
