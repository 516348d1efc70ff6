"""What a change promises: how much a token drawn from the tuned model gains on the average. Knows answers, not probes.

Where the base predicts q and the tuned model p that is KL(p ‖ q) = E_p log p/q. A text that the model was trained on
gains as much, or more where training stopped on the way there (`aim` says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sway_gguf.core.answers import Answers
from sway_gguf.core.queries import Compare, Completion, Rolling, Spans
from sway_gguf.stats.interval import Interval, mean_interval

HALF = 0.5
"""Of what is promised: a change that keeps less leads mostly elsewhere."""
NEARLY = 0.9
"""Of what is promised. At the end of a training text gains as much as that, and a hasty last step is a little off."""
_ROUNDING = 1e-5
"""Nats: logits are float32."""


class Move(NamedTuple):
    """Nats per token: what a text's own tokens gained, and what the change promises at the same places."""

    gained: float
    promised: float


def compared(query: Completion | Spans | Rolling) -> Compare:
    """Both distributions wherever a score of the text is taken."""
    if isinstance(query, Spans):
        return Compare(query.text, query.spans)
    if isinstance(query, Rolling):
        return Compare(query.text)
    whole = query.prompt + query.completion
    return Compare(whole, ((len(query.prompt), len(whole)),))


def move(other: Answers, asked: Sequence[Compare]) -> Move:
    """Over all places of what was asked about one text."""
    found = [other.changes(query) for query in asked]
    places = max(1, sum(each.back.size for each in found))
    gained = sum(float((each.other - each.base).sum()) for each in found)
    return Move(gained / places, sum(float(each.back.sum()) for each in found) / places)


def surely_less(moves: Sequence[Move], share: float) -> bool:
    """Whether texts surely gained less than this share of what was promised."""
    span = _beyond(moves, share)
    return span is not None and span.high < -_ROUNDING


def kept(moves: Sequence[Move]) -> bool:
    """Whether most of what was promised surely came, and nothing shows that less than all of it did."""
    span = _beyond(moves, HALF)
    return span is not None and span.low > _ROUNDING and not surely_less(moves, 1.0)


def _beyond(moves: Sequence[Move], share: float) -> Interval | None:
    return mean_interval([each.gained - share * each.promised for each in moves])
