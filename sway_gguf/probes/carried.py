"""Whether one token of each text carries all of its lift. Knows answers token by token; no controls, nulls or verdicts.

The mean over a reply's tokens is lifted as much by its end alone as by all of its words a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, checked
from sway_gguf.core.sections import Section
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval

_LONG = 8
"""Tokens of a text that has more to say than one of them; of a label, one token is all there is."""


def carried_by_one(base: Answers, other: Answers, sections: Iterable[Section]) -> tuple[Check, ...]:
    """A check that misses where the texts without their most lifted token did not surely gain anything.

    Texts of fewer than eight scored tokens take no part. Nothing is checked where fewer than five are left, or where
    the backend tells no tokens.
    """
    rests = [rest for section in sections if (rest := _without_largest(base, other, section)) is not None]
    span = mean_interval(rests) if len(rests) >= MIN_ITEMS else None
    if span is None:
        return ()
    gained = f"{sum(rests) / len(rests):+.2g} nats/token"
    fine = f"without its most lifted token a text gained {gained}"
    wrong = f"one token of each text carries the lift: the others did not surely gain ({gained})"
    return (checked("tokens", span.low > 0, fine, wrong),)


def _without_largest(base: Answers, other: Answers, section: Section) -> float | None:
    """Mean lift of a section's scored tokens but the most lifted one, nats; None where that is not to be had."""
    before, after = _logprobs(base, section), _logprobs(other, section)
    if len(before) != len(after) or len(before) < _LONG:
        return None
    lifts = [new - old for new, old in zip(after, before, strict=True)]
    return (sum(lifts) - max(lifts)) / (len(lifts) - 1)


def _logprobs(answers: Answers, section: Section) -> Sequence[float]:
    """Of each scored token."""
    if section.replies:
        return [each for query in section.replies for each in answers.spans(query).logprobs]
    if section.prompt:
        return answers.completion(section.prompt, section.reply).logprobs
    return [float(each) for each in answers.rolling(section.text).logprobs]
