"""What a run's own queries cost on this machine: slices of them are timed, and the rest is told from its layout.

A kind of query costs so much per call of llama.cpp and so much per token, two numbers that two slices give: next tokens
read few logits, comparisons run two models, replies write a token per call. Knows queries, layouts and a backend's
clock; nothing of what a probe means.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sway_gguf.core.answers import Generated
from sway_gguf.core.engine_settings import Workers
from sway_gguf.core.queries import Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.core.views import BASE_RERUN, TUNED, NullView, View
from sway_gguf.engine.doors import DoorBackend, Work
from sway_gguf.engine.open_view import OpenView
from sway_gguf.material.chunks import spread
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import plan
from sway_gguf.suite.schedule import Schedule
from sway_gguf.suite.visit import Visit

Clock = Callable[[], float]
_NEW_TOKENS = 8
TOGETHER = (NextToken, Rolling, Completion, Spans)
"""Kinds that are laid out together."""
_RETRY = 8
"""A slice that takes less than this part of the time is asked once before it is timed: contexts are made then."""


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds per call and per token of one kind of query, and the share of the asked tokens that replies have."""

    call: float
    token: float
    written: float = 1.0

    def of(self, work: Work) -> float:
        """Seconds for that much work."""
        return work.calls * self.call + work.tokens * self.token


@dataclass
class Pace:
    """Prices of the kinds of query in a run, and of putting on a null adapter; `seconds_of` tells a run's time."""

    backend: DoorBackend
    prices: dict[type, Price]
    null: float
    _known: dict[tuple[bool, tuple[Query, ...]], float] = field(default_factory=dict)

    def seconds_of(self, prepared: Prepared) -> float:
        """How long a run of these kinds of query will take, about."""
        views = [*map(self._visit, plan(prepared).every)]
        return side_by_side(views, self.backend.workers(1), self.backend.workers(len(views)))

    def _visit(self, visit: Visit) -> float:
        asked = (*(unit.queries for unit in visit.groups), visit.foreseen)
        null = self.null if isinstance(visit.view, NullView) else 0.0
        return null + sum(self._answering(visit.view, queries) for queries in asked)

    def _answering(self, view: View, queries: tuple[Query, ...]) -> float:
        """All views but the base's second one have the same layout."""
        key = view == BASE_RERUN, queries
        if key not in self._known:
            kinds = {kind: alike for kind, alike in by_kind(queries).items() if kind in self.prices}
            work = {kind: self.backend.work(view, alike, self.prices[kind].written) for kind, alike in kinds.items()}
            together = self._together(view, {kind: kinds[kind] for kind in kinds if kind in TOGETHER}, work)
            self._known[key] = sum(self.prices[kind].of(each) for kind, each in (work | together).items())
        return self._known[key]

    def _together(self, view: View, kinds: Mapping[type, list[Query]], alone: Mapping[type, Work]) -> dict[type, Work]:
        """The work of kinds that share calls and beginnings, shared out by what each would take alone."""
        if len(kinds) < 2:
            return {}
        joint = self.backend.work(view, [query for alike in kinds.values() for query in alike])
        calls, tokens = (sum(each) for each in zip(*(alone[kind] for kind in kinds), strict=True))
        return {
            kind: Work(alone[kind].calls * joint.calls / calls, alone[kind].tokens * joint.tokens / tokens)
            for kind in kinds
        }


def side_by_side(seconds: Sequence[float], alone: Workers, workers: Workers) -> float:
    """How long views take together.

    Args:
        seconds: of each, measured one at a time.
        alone: how a single view is answered: the threads that `seconds` were measured with.
        workers: how they will be answered. Workers do not wait for each other, so a view's time goes by its threads;
            one that is left alone takes the others'.
    """
    if workers.number < 2 or not seconds:
        return sum(seconds)
    if alone.threads > workers.threads:
        return sum(seconds) * alone.threads / (workers.number * workers.threads)
    turns = math.ceil(len(seconds) / workers.number)
    return turns * statistics.fmean(seconds) * alone.threads / workers.threads


def by_kind(queries: Iterable[Query]) -> dict[type, list[Query]]:
    """Queries by kind, without those that run no model."""
    kinds: dict[type, list[Query]] = {}
    for query in queries:
        if not isinstance(query, Split):
            kinds.setdefault(type(query), []).append(query)
    return kinds


def measured_pace(prepared: Prepared, backend: DoorBackend, most: float, clock: Clock = time.perf_counter) -> Pace:
    """Time slices of what the run will ask, on the tuned view, and one null adapter; nothing comes from a store.

    Args:
        prepared: the run.
        backend: that will run it.
        most: seconds that timing should take; one query of each kind, and three replies, are timed whatever they take.
        clock: tells seconds.

    Raises:
        NonFiniteError: the adapter or the base is broken.
    """
    work = plan(prepared)
    kinds = by_kind(_everything(work))
    with backend.unkept():
        with backend.open(TUNED) as view:
            prices = {kind: _price(view, backend, queries, most / len(kinds), clock) for kind, queries in kinds.items()}
        return Pace(backend, prices, _null(work, backend, kinds, clock))


def _everything(work: Schedule) -> list[Query]:
    asked = (queries for visit in work.every for queries in (*(u.queries for u in visit.groups), visit.foreseen))
    return list(dict.fromkeys(query for queries in asked for query in queries))


def _price(view: OpenView, backend: DoorBackend, queries: Sequence[Query], most: float, clock: Clock) -> Price:
    """From the first and the last of ever larger slices; each is twice the one before, until time or queries end."""
    ordered = sorted(queries, key=backend.count_tokens)
    found: list[tuple[Work, float]] = []
    middle, size, start = ordered[len(ordered) // 2], 1, clock()
    while True:
        chosen = [_stand_in(query, size) for query in (spread(ordered, size) if size > 1 else [middle])]
        took = _timed(view, chosen, most / _RETRY, found[-1][1] if found else 0.0, clock)
        found.append((backend.work(TUNED, chosen), took))
        enough = clock() - start + 2 * took > most and len(found) >= (2 if isinstance(middle, Generate) else 1)
        if enough or size >= len(ordered):
            break
        size = min(2 * size, len(ordered))
    price = _fitted(*found[0], *found[-1])
    return replace(price, written=_written(view, backend, spread(queries, size), price, most))


def _stand_in(query: Query, number: int) -> Query:
    """What tells the price of a query: a reply begins as it goes on; an embedding is kept, so another text is asked."""
    if isinstance(query, Generate):
        return replace(query, max_new_tokens=min(query.max_new_tokens, _NEW_TOKENS))
    return Embed(f"{query.text} {number}") if isinstance(query, Embed) else query


def _timed(view: OpenView, queries: Sequence[Query], cheap: float, last: float, clock: Clock) -> float:
    """Seconds to answer; cheap queries are asked a first time that does not count."""
    if 2 * last < cheap and not isinstance(queries[0], Embed):
        start = clock()
        view.answer(queries)
        if clock() - start > cheap:
            return clock() - start
    start = clock()
    view.answer(queries)
    return clock() - start


def _written(view: OpenView, backend: DoorBackend, queries: Sequence[Query], price: Price, most: float) -> float:
    """Share of the tokens asked for that whole replies have, where asking for them takes no longer than `most`."""
    asked = sum(query.max_new_tokens for query in queries if isinstance(query, Generate))
    if not asked or price.of(backend.work(TUNED, queries)) > most:
        return 1.0
    made = sum(len(reply.token_ids) for reply in view.answer(queries) if isinstance(reply, Generated))
    return max(made, 1) / asked


def _fitted(small: Work, quick: float, large: Work, slow: float) -> Price:
    """The line through both slices; through the larger alone where it would have a negative price."""
    scale = small.calls * large.tokens - large.calls * small.tokens
    call = (quick * large.tokens - slow * small.tokens) / scale if scale else 0.0
    call = min(max(call, 0.0), slow / large.calls) if large.calls else 0.0
    token = (slow - call * large.calls) / large.tokens if large.tokens else 0.0
    return Price(call, token)


def _null(work: Schedule, backend: DoorBackend, kinds: dict[type, list[Query]], clock: Clock) -> float:
    """Seconds to draw and load a null adapter, beyond those of the query that makes the backend do so."""
    adapted = [query for kind, queries in kinds.items() for query in queries if kind is not Embed]
    nulls = [visit.view for visit in work.every if isinstance(visit.view, NullView)]
    if not nulls or not adapted:
        return 0.0
    seconds, query = [], min(adapted, key=backend.count_tokens)
    for view in (TUNED, nulls[0]):
        with backend.open(view) as opened:
            start = clock()
            opened.answer([query])
            seconds.append(clock() - start)
    return max(0.0, seconds[1] - seconds[0])
