"""Asks a backend everything that was asked for, view by view, in fixed batches.

Knows queries, views and the doors of a backend; neither what a probe means nor what a p-value is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sway_gguf.core.answers import Answers
from sway_gguf.core.queries import Query
from sway_gguf.core.views import View
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.open_view import OnTokens


@dataclass(frozen=True, slots=True)
class QueryGroup:
    """Queries that are always answered together, so that their batches are the same in every view.

    Attributes:
        queries: each once.
        askers: keys of all who asked them.
    """

    queries: tuple[Query, ...]
    askers: frozenset[Hashable]


def groups_of(asks: Mapping[Hashable, Sequence[Query]]) -> list[QueryGroup]:
    """Group queries by who asks them: the same question asked twice is answered once."""
    askers: dict[Query, set[Hashable]] = {}
    for key, queries in asks.items():
        for query in queries:
            askers.setdefault(query, set()).add(key)
    groups: dict[frozenset[Hashable], list[Query]] = {}
    for query, keys in askers.items():
        groups.setdefault(frozenset(keys), []).append(query)
    return [QueryGroup(tuple(queries), keys) for keys, queries in groups.items()]


def wanted_by(groups: Sequence[QueryGroup], keys: set[Hashable]) -> list[QueryGroup]:
    """The groups of which any of `keys` asked."""
    return [group for group in groups if group.askers & keys]


FollowUp = Callable[[Answers], Mapping[Hashable, Sequence[Query]]]
"""From a view's answers so far to what is asked next, by who asks."""


def collect(
    backend: DoorBackend,
    view: View,
    groups: Sequence[QueryGroup],
    progress: OnTokens | None = None,
    follow_up: FollowUp | None = None,
    known: Answers | None = None,
) -> Answers:
    """Open `view` once and answer all of `groups`, then round by round what follows from the answers.

    Args:
        backend: what is asked.
        view: to open.
        groups: to answer.
        progress: called as tokens are evaluated.
        follow_up: what to ask next.
        known: answers of this very view. A group that stands there whole is not asked again; any other is asked whole,
            so that its batches stay as they are.

    Raises:
        UserError: the backend cannot give this view.
        NonFiniteError: the view gave a NaN or an infinity.
    """
    answers = Answers([])
    with backend.open(view) as opened:
        while groups:
            for group in groups:
                if known is not None and all(query in known for query in group.queries):
                    answers = answers.merged(known.only(group.queries))
                else:
                    found = opened.answer(group.queries, progress)
                    answers = answers.merged(Answers(zip(group.queries, found, strict=True)))
            groups = groups_of(_unasked(follow_up(answers), answers)) if follow_up else []
    return answers


def _unasked(asks: Mapping[Hashable, Sequence[Query]], answers: Answers) -> dict[Hashable, list[Query]]:
    return {key: [query for query in queries if query not in answers] for key, queries in asks.items()}


CountTokens = Callable[[tuple[Query, ...]], int]
"""From queries that are answered together to the tokens to evaluate."""


def count_tokens(groups: Iterable[QueryGroup], count: CountTokens) -> int:
    """Tokens to evaluate for `groups` in one view."""
    return sum(count(group.queries) for group in groups)
