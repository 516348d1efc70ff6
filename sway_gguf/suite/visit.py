"""A visit: one view, and what is asked of it, in groups. Knows queries and who asks; neither probes nor engines."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from sway_gguf.collect import CountTokens, QueryGroup, count_tokens
from sway_gguf.core.queries import Compare, Query
from sway_gguf.core.views import View, kind_of
from sway_gguf.suite.standing import Standing


@dataclass(frozen=True)
class Visit:
    """One view, and what is asked of it.

    Attributes:
        view: to open.
        asked: what each probe asks of it, by the probe's place.
        groups: the same, in the groups that are answered together.
        foreseen: what may follow.
        standing: on how much of their items probes stand here.
    """

    view: View
    asked: Mapping[int, tuple[Query, ...]]
    groups: tuple[QueryGroup, ...]
    foreseen: tuple[Query, ...] = ()
    standing: Standing = Standing.WHOLE

    @property
    def probes(self) -> tuple[int, ...]:
        """Places of the probes that measure here."""
        return tuple(self.asked)

    def only(self, places: Collection[int]) -> Visit:
        """The same null for these probes alone."""
        asked = {place: queries for place, queries in self.asked.items() if place in places}
        wanted = {query for queries in asked.values() for query in queries}
        return replace(self, asked=asked, groups=tuple(g for g in self.groups if wanted.intersection(g.queries)))

    def uncompared(self) -> Visit:
        """The base's visit: it is held against nothing, and read once more beside each view that is held against it."""
        asked = {place: _uncompared(queries) for place, queries in self.asked.items()}
        groups = (replace(group, queries=_uncompared(group.queries)) for group in self.groups)
        return replace(self, asked=asked, groups=tuple(group for group in groups if group.queries))

    def without(self, asker: Hashable) -> Visit:
        """The same view, but for the groups of which `asker` asked: it has answered them."""
        return replace(self, groups=tuple(group for group in self.groups if asker not in group.askers))


def tokens_of(visits: Sequence[Visit], count: CountTokens) -> dict[str, int]:
    """Tokens to evaluate, by kind of view: base, tuned, scaled, alone and null."""
    totals: dict[str, int] = {}
    counted = cache(count)
    for visit in visits:
        name = kind_of(visit.view)
        tokens = count_tokens(visit.groups, counted) + counted(visit.foreseen)
        totals[name] = totals.get(name, 0) + tokens
    return totals


def _uncompared(queries: Sequence[Query]) -> tuple[Query, ...]:
    return tuple(query for query in queries if not isinstance(query, Compare))
