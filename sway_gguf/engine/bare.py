"""A backend that knows the bare protocol of the `sway` project, behind the doors that ours have.

The one place where that protocol is spoken: what it can answer, in whose words, and what it cannot. Knows no probe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from sway_gguf.core.answers import Answer, CompletionScore, Generated, LogProbs, RollingLogprob, TokenDist
from sway_gguf.core.errors import UserError
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Rolling, Spans, Split
from sway_gguf.core.views import NullView, ScaledView, SetPart, View
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.engine.open_view import OnTokens
from sway_gguf.engine.protocol import Backend, NullBackend, ScalableBackend, SingleView

_WHOLE_VOCABULARY = 1 << 30
_UNKNOWN: Mapping[type, str] = {
    Embed: "embeddings",
    Split: "token ids of a text",
    Compare: "distributions along a text",
}
"""Kinds of query that the protocol has no words for, and what they ask for."""


def contract(backend: Backend | DoorBackend) -> DoorBackend:
    """The backend behind our doors: itself where it has them."""
    return backend if isinstance(backend, DoorBackend) else BareBackend(backend)


class BareBackend(DoorBackend):
    """Asks one question at a time. Nothing is known of batches, so there is no noise floor and no price.

    Args:
        backend: with `as_base` and `as_finetuned`, and at choice `as_scaled_adapter` and `as_null_adapter`.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._doors = ExitStack()
        self._view_at_work: SingleView | None = None

    @property
    def name(self) -> str:
        """Of the backend within."""
        return type(self._backend).__name__

    @property
    def original(self) -> Backend:
        """The backend within."""
        return self._backend

    def lacks(self, asked: Query | View) -> str:
        """What of a query or a view the protocol has no words for."""
        if isinstance(asked, ScaledView):
            known = asked.scale in (0.0, 1.0) or isinstance(self._backend, ScalableBackend)
            return "" if known else "adapter at other scales"
        if isinstance(asked, SetPart):
            return "adapters of a set one by one"
        if isinstance(asked, NullView):
            if not isinstance(self._backend, NullBackend):
                return "null adapters"
            return "" if asked.design.design == "gaussian" else f"{asked.design.design} nulls (null_design: gaussian)"
        if isinstance(asked, NextToken) and asked.filler_tokens:
            return "filler of so many tokens"
        return next((words for kind, words in _UNKNOWN.items() if isinstance(asked, kind)), "")

    def cache_identity(self) -> str:
        """That of the backend within, where it has one; else nothing two of them share."""
        own = getattr(self._backend, "cache_identity", None)
        return str(own()) if own else f"{self.name} {id(self._backend)}"

    def count_tokens(self, query: Query) -> int:
        """Words: the protocol does not count tokens."""
        return len(str(query).split())

    def shows_noise(self, queries: Sequence[Query]) -> bool:
        """Never: a rerun is the base once more."""
        return False

    def close(self) -> None:
        """Close the backend within, where it can be."""
        own = getattr(self._backend, "close", None)
        if own:
            own()

    def _enter(self, view: View) -> None:
        self._view_at_work = self._doors.enter_context(self._door(view))

    def _leave(self, view: View) -> None:
        self._view_at_work = None
        self._doors.close()

    def _door(self, view: View) -> AbstractContextManager[SingleView]:
        if missing := self.lacks(view):
            raise UserError(f"this backend cannot give the view {view}: it has no {missing}; leave out what needs it")
        if is_base(view):
            return self._backend.as_base()
        if isinstance(view, ScaledView) and view.scale != 1.0:
            assert isinstance(self._backend, ScalableBackend)
            return self._backend.as_scaled_adapter(view.scale)
        if isinstance(view, NullView):
            assert isinstance(self._backend, NullBackend)
            # The bare protocol's energy is the square of its rank_scale.
            scale = math.sqrt(view.design.energy_scale)
            return self._backend.as_null_adapter(view.seed, init_scale=view.design.init_scale, rank_scale=scale)
        return self._backend.as_finetuned()

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        assert self._view_at_work is not None
        answers = []
        for query in queries:
            answers.append(_one(self._view_at_work, query))
            if progress:
                progress(self.count_tokens(query))
        return answers


def _one(view: SingleView, query: Query) -> Answer:
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
