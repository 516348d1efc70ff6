"""Whether one token of each text carries all of its lift. Knows answers token by token; no controls, nulls or verdicts.

The mean over a reply's tokens is lifted as much by its end alone as by all of its words a little.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, checked
from sway_gguf.core.sections import Section
from sway_gguf.probes.lift import section_logprobs
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval

_LONG = 8
"""Tokens of a text that has more to say than one of them; of a label, one token is all there is."""


def carried_by_one(base: Answers, other: Answers, sections: Iterable[Section]) -> tuple[Check, ...]:
    """A check that misses where texts without their most lifted token (and their most lowered) gained nothing.

    That is: not surely anything, and surely less than half of what they gained with them. Small gains of a light
    training are no such case, however single tokens scatter. Texts of fewer than eight scored tokens take no part.
    Nothing is checked where fewer than five are left, or where the backend tells no tokens.
    """
    lifts = [found for section in sections if (found := _lifts(base, other, section)).size >= _LONG]
    rests = [_without_ends(each) for each in lifts]
    span = mean_interval(rests) if len(rests) >= MIN_ITEMS else None
    if span is None:
        return ()
    whole = float(np.mean([each.mean() for each in lifts]))
    gained = f"{np.mean(rests):+.2g} nats/token"
    fine = f"without the token that gained most a text gained {gained}"
    wrong = f"one token of each text carries the lift: the others did not surely gain ({gained})"
    return (checked("tokens", span.low > 0 or span.high >= whole / 2, fine, wrong),)


def _lifts(base: Answers, other: Answers, section: Section) -> NDArray[np.float64]:
    """Of each scored token, nats; none where that is not to be had."""
    before, after = section_logprobs(base, section), section_logprobs(other, section)
    return np.subtract(after, before) if len(before) == len(after) else np.empty(0)


def _without_ends(lifts: NDArray[np.float64]) -> float:
    """Mean without the most lifted token and the most lowered one: without the first alone, scatter would be a loss."""
    return float((lifts.sum() - lifts.max() - lifts.min()) / (lifts.size - 2))
