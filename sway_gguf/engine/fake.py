"""A deterministic backend without a model, for tests and for trying out probes.

What it answers is scripted: a function of view and query. Knows no probe; `wordy_script` makes up answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from sway_gguf.core.answers import Answer, CompletionScore, LogProbs, RollingLogprob
from sway_gguf.core.queries import Completion, NextToken, Query
from sway_gguf.core.views import NullView, ScaledView, View
from sway_gguf.engine.doors import DoorBackend, Progress, Sampling

Script = Callable[[View, Query], Answer]


class FakeBackend(DoorBackend):
    """Answers from a script; keeps a record of what was asked of which view.

    Args:
        script: (view, query) to answer.
        replies: (view, prompt) to generated text; a line naming both by default.
    """

    def __init__(self, script: Script, replies: Callable[[View, str], str] | None = None) -> None:
        super().__init__()
        self.asked: list[tuple[View, Query]] = []
        self._script = script
        self._replies = replies or (lambda view, prompt: f" [{view}] {prompt}")

    def cache_identity(self) -> str:
        """The same for every fake."""
        return "fake"

    def count_tokens(self, query: Query) -> int:
        """Words of the query."""
        return len(_text(query).split())

    def close(self) -> None:
        """Nothing to release."""

    def _answer(self, view: View, queries: Sequence[Query], progress: Progress | None) -> list[Answer]:
        self.asked += [(view, query) for query in queries]
        if progress:
            progress(sum(self.count_tokens(query) for query in queries))
        return [self._script(view, query) for query in queries]

    def _generate(self, view: View, prompts: Sequence[str], sampling: Sampling) -> list[str]:
        return [self._replies(view, prompt)[: 8 * sampling.max_new_tokens] for prompt in prompts]


def distribution(*probabilities: float) -> LogProbs:
    """Log-probabilities of a small vocabulary, from weights that need not sum to 1."""
    weights = np.asarray(probabilities, np.float64)
    row: LogProbs = np.log(weights / weights.sum()).astype(np.float32)
    return row


def rolling(*logprobs: float) -> RollingLogprob:
    """A text of len(logprobs) + 1 tokens with these scores."""
    ids = np.arange(len(logprobs) + 1, dtype=np.int64)
    return RollingLogprob(ids, np.asarray(logprobs, np.float32), len(ids), float(sum(logprobs)))


def wordy_script(effect: Callable[[View, Query], float], vocabulary: int = 16, spread: float = 0.0) -> Script:
    """A script in which the words of a query have fixed log-probabilities and views shift them.

    Args:
        effect: (view, query) to a shift in nats per token; the base's should be 0. A next-token distribution
            moves by that much on one logit.
        vocabulary: size of a next-token distribution.
        spread: standard deviation of a further random logit shift, per view and query, for all but the base.
    """

    def script(view: View, query: Query) -> Answer:
        base, own = _rng("base", query), _rng(_identity(view), query)
        shift = effect(view, query)
        if isinstance(query, NextToken):
            moved = isinstance(view, NullView) or (isinstance(view, ScaledView) and view.scale != 0)
            logits = base.normal(size=vocabulary) + (own.normal(size=vocabulary) * spread if moved else 0.0)
            logits[0] += shift
            return distribution(*np.exp(logits))
        if isinstance(query, Completion):
            words = max(1, len(query.completion.split()))
            return CompletionScore(float(base.normal(-3.0 * words, 0.3) + words * shift), words)
        words = max(1, len(query.text.split()))
        return rolling(*(base.normal(-1.0, 0.2, words) + shift))

    return script


def _identity(view: View) -> str:
    return f"null {view.seed}" if isinstance(view, NullView) else "real"


def _rng(name: str, query: Query) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}\0{query!r}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _text(query: Query) -> str:
    if isinstance(query, NextToken):
        return query.prompt
    if isinstance(query, Completion):
        return f"{query.prompt} {query.completion}"
    return query.text
