"""A deterministic backend without a model, for tests and for trying out probes.

What it answers is scripted: a function of view and query. Knows no probe; `wordy_script` makes up answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from sway_gguf.core.answers import (
    Answer,
    Changes,
    CompletionScore,
    Embedding,
    Generated,
    LogProbs,
    RollingLogprob,
    Tokens,
)
from sway_gguf.core.queries import Compare, Completion, Embed, Generate, NextToken, Query, Spans, Split
from sway_gguf.core.views import NullView, View
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.engine.open_view import OnTokens

Script = Callable[[View, Query], Answer]


class FakeBackend(DoorBackend):
    """Answers from a script; keeps a record of what was asked of which view."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.asked: list[tuple[View, Query]] = []
        self._script = script

    def cache_identity(self) -> str:
        """The same for every fake."""
        return "fake"

    def count_tokens(self, query: Query) -> int:
        """Words of the query."""
        return len(_text(query).split())

    def close(self) -> None:
        """Nothing to release."""

    def _answer(self, view: View, queries: Sequence[Query], progress: OnTokens | None) -> list[Answer]:
        self.asked += [(view, query) for query in queries]
        if progress:
            progress(sum(self.count_tokens(query) for query in queries))
        return [self._script(view, query) for query in queries]


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

    A reply names the view and the prompt's last words; an embedding counts letters.

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
            moved = not is_base(view)
            logits = base.normal(size=vocabulary) + (own.normal(size=vocabulary) * spread if moved else 0.0)
            logits[0] += shift
            return distribution(*np.exp(logits))
        if isinstance(query, Generate):
            return reply(f" {view} says {' '.join(query.prompt.split()[-3:])}")
        if isinstance(query, Split):
            return Tokens(reply(query.text).token_ids, tuple(re.findall(r"\s*\S+(?:\s+$)?", query.text)))
        if isinstance(query, Embed):
            return Embedding(letters(query.text))
        words = max(1, len(_scored(query).split()))
        if isinstance(query, Completion | Spans):
            total = float(base.normal(-3.0 * words, 0.3) + words * shift)
            return CompletionScore(total, words, (total / words,) * words)
        scores = base.normal(-1.0, 0.2, words)
        if isinstance(query, Compare):
            apart = np.full(words, shift**2 / 2)
            return Changes(apart, apart, np.full(words, abs(shift) < 0.5), scores, scores + shift)
        return rolling(*(scores + shift))

    return script


def reply(text: str) -> Generated:
    """A reply whose words are its tokens."""
    return Generated(text, tuple(int.from_bytes(hashlib.sha256(w.encode()).digest()[:4], "big") for w in text.split()))


def letters(text: str) -> LogProbs:
    """[26] how often each letter occurs, as a vector of length 1."""
    counts = np.array([text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"], np.float32)
    length = float(np.linalg.norm(counts))
    return counts / np.float32(length) if length else counts


def _identity(view: View) -> str:
    return f"null {view.seed}" if isinstance(view, NullView) else "real"


def _rng(name: str, query: Query) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}\0{query!r}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _scored(query: Query) -> str:
    if isinstance(query, Spans) or (isinstance(query, Compare) and query.spans):
        return " ".join(query.text[start:end] for start, end in query.spans)
    return query.completion if isinstance(query, Completion) else _text(query)


def _text(query: Query) -> str:
    if isinstance(query, Split):
        return ""
    if isinstance(query, NextToken | Generate):
        return query.prompt if isinstance(query, Generate) else query.lead + query.prompt
    if isinstance(query, Completion):
        return f"{query.prompt} {query.completion}"
    return query.text
