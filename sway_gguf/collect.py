"""Asks a backend everything that was asked for, view by view, in fixed batches.

Knows queries, views and the backend protocol; neither what a probe means nor what a p-value is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from sway_gguf.core.answers import Answer, Answers, CompletionScore, Generated, LogProbs, RollingLogprob, TokenDist
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Completion, Generate, NextToken, Query, Rolling, Spans
from sway_gguf.core.views import BaseView, NullView, ScaledView, View
from sway_gguf.engine.doors import DoorBackend, OpenView, Progress
from sway_gguf.engine.protocol import Backend, NullBackend, ScalableBackend, SingleView

_WHOLE_VOCABULARY = 1 << 30


@dataclass(frozen=True, slots=True)
class Unit:
    """Queries that are always answered together, so that their batches are the same in every view.

    Attributes:
        queries: each once.
        askers: keys of all who asked them.
    """

    queries: tuple[Query, ...]
    askers: frozenset[Hashable]


def units_of(asks: Mapping[Hashable, Sequence[Query]]) -> list[Unit]:
    """Group queries by who asks them: the same question asked twice is answered once."""
    askers: dict[Query, set[Hashable]] = {}
    for key, queries in asks.items():
        for query in queries:
            askers.setdefault(query, set()).add(key)
    groups: dict[frozenset[Hashable], list[Query]] = {}
    for query, keys in askers.items():
        groups.setdefault(frozenset(keys), []).append(query)
    return [Unit(tuple(queries), keys) for keys, queries in groups.items()]


def wanted_by(units: Sequence[Unit], keys: set[Hashable]) -> list[Unit]:
    """The units of which any of `keys` asked."""
    return [unit for unit in units if unit.askers & keys]


FollowUp = Callable[[Answers], Mapping[Hashable, Sequence[Query]]]
"""From a view's answers so far to what is asked next, by who asks."""


def collect(
    backend: Backend,
    view: View,
    units: Sequence[Unit],
    progress: Progress | None = None,
    follow_up: FollowUp | None = None,
) -> Answers:
    """Open `view` once and answer all of `units`, then round by round what follows from the answers.

    Raises:
        UserError: the backend cannot give this view.
        NonFiniteError: the view gave a NaN or an infinity.
    """
    answers = Answers([])
    with open_view(backend, view) as opened:
        while units:
            pairs = [
                pair
                for unit in units
                for pair in zip(unit.queries, _answers(opened, unit.queries, progress), strict=True)
            ]
            answers = answers.merged(Answers(pairs))
            units = units_of(_unasked(follow_up(answers), answers)) if follow_up else []
    return answers


def _unasked(asks: Mapping[Hashable, Sequence[Query]], answers: Answers) -> dict[Hashable, list[Query]]:
    return {key: [query for query in queries if query not in answers] for key, queries in asks.items()}


@contextmanager
def open_view(backend: Backend, view: View) -> Iterator[SingleView]:
    """`view` through whichever door the backend has for it.

    Raises:
        UserError: it has none.
    """
    with _door(backend, view) as opened:
        yield opened


def _door(backend: Backend, view: View) -> Any:
    if isinstance(backend, DoorBackend):
        return backend.open(view)
    if isinstance(view, BaseView):
        return backend.as_base()
    if isinstance(view, ScaledView) and view.scale == 1.0:
        return backend.as_finetuned()
    if isinstance(view, ScaledView) and isinstance(backend, ScalableBackend):
        return backend.as_scaled_adapter(view.scale)
    if isinstance(view, NullView) and isinstance(backend, NullBackend) and view.design.design == "gaussian":
        # The bare protocol's energy is the square of its rank_scale.
        scale = math.sqrt(view.design.energy_scale)
        return backend.as_null_adapter(view.seed, init_scale=view.design.init_scale, rank_scale=scale)
    raise UserError(f"this backend cannot give the view {view}; leave out what needs it")


def _answers(view: SingleView, queries: Sequence[Query], progress: Progress | None) -> list[Answer]:
    if isinstance(view, OpenView):
        return view.answer(queries, progress)
    return [_one(view, query) for query in queries]


def _one(view: SingleView, query: Query) -> Answer:
    """Ask a view that knows the bare protocol only."""
    if isinstance(query, NextToken) and not query.filler_tokens:
        return whole_row(view.next_token_dist(query.lead + query.prompt, top_k=_WHOLE_VOCABULARY))
    if isinstance(query, Completion):
        return _completion(view, query.prompt, query.completion)
    if isinstance(query, Spans):
        parts = [_completion(view, query.text[:start], query.text[start:end]) for start, end in query.spans]
        return CompletionScore(sum(part.logprob for part in parts), sum(part.num_tokens for part in parts))
    if isinstance(query, Generate):
        text = view.generate(
            query.prompt,
            max_new_tokens=query.max_new_tokens,
            temperature=query.temperature,
            top_p=query.top_p,
            seed=query.seed,
        )
        return Generated(text)
    if isinstance(query, Rolling):
        found = view.rolling_logprob(query.text)
        return RollingLogprob(found.token_ids, found.logprobs, found.num_tokens, found.total_logprob)
    raise UserError(f"this backend cannot tell {query}; leave out what needs it")


def _completion(view: SingleView, prompt: str, completion: str) -> CompletionScore:
    joint = view.rolling_logprob(prompt + completion).num_tokens
    words = joint - view.rolling_logprob(prompt).num_tokens if prompt else joint
    return CompletionScore(view.logprob_of(prompt, completion), max(1, words))


def whole_row(dist: TokenDist) -> LogProbs:
    """[V] log-probabilities from a top-k distribution; its tail is spread evenly over the rest.

    A tail of 0 is the original's word for one that is too small to tell.
    """
    rest = dist.vocab_size - dist.token_ids.size
    tail = dist.tail_logprob - np.log(rest) if dist.tail_logprob and rest > 0 else -np.inf
    row = np.full(dist.vocab_size, tail, np.float32)
    row[dist.token_ids] = dist.logprobs
    return row


CountTokens = Callable[[Query], int]


def count_tokens(units: Sequence[Unit], count: CountTokens) -> int:
    """Tokens to evaluate for `units` in one view."""
    return sum(count(query) for unit in units for query in unit.queries)
