"""Whether one token of each text, or one reply behind many prompts, carries all of a lift. Knows no nulls or verdicts.

The mean over a reply's tokens is lifted as much by its end alone as by all of its words a little, and the mean over
items by one reply that most of them have as much as by all replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, checked, grouped
from sway_gguf.core.sections import Section, folded
from sway_gguf.probes.lift import beyond, section_logprobs
from sway_gguf.stats.interval import MIN_ITEMS, Interval, mean_interval

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
    return (checked("tokens", _gained(span, whole), fine, wrong),)


def carried_by_one_reply(
    items: Sequence[Item], sections: Sequence[Section], controls: Sequence[Item]
) -> tuple[Check, ...]:
    """A check that misses where one reply is that of several prompts and the items with other replies gained nothing.

    As with tokens: not surely anything beyond the controls, and surely less than half of what all gained.

    Args:
        items: lifts, of `sections` in their order.
        sections: with prompts; of prose there is nothing to check.
        controls: lifts of other text.

    Returns:
        Nothing where no reply comes twice, or fewer than five items have another one.
    """
    replies = [folded(section.text) for section in sections if section.prompt]
    if len(replies) < len(items) or not replies:
        return ()
    ((usual, count),) = Counter(replies).most_common(1)
    rest = [item for item, reply in zip(items, replies, strict=True) if reply != usual]
    span = mean_interval([item.value for item in rest], grouped(controls))
    if count < 2 or span is None:
        return ()
    others = f"the {len(rest)} items with another one"
    gained = f"{beyond(rest, controls):+.2g} nats/token beyond other text"
    fine = f"of replies, {others} gained {gained}"
    wrong = f"one reply, the same behind {count} prompts, carries the lift: {others} did not surely gain ({gained})"
    return (checked("replies", _gained(span, beyond(items, controls)), fine, wrong),)


def shared_replies(sections: Sequence[Section]) -> tuple[str, ...]:
    """A note where items have less than half as many replies: what their interval is over."""
    replies = [folded(section.text) for section in sections if section.prompt]
    few = len(set(replies))
    if not replies or 2 * few >= len(replies):
        return ()
    told = "one reply" if few == 1 else f"{few} replies"
    return (f"{len(replies)} items share {told}: the interval says how prompts scatter, not how other replies would",)


def _gained(rest: Interval, whole: float) -> bool:
    """Whether the rest surely gained something, or not surely less than half of what the whole did."""
    return rest.low > 0 or rest.high >= whole / 2


def _lifts(base: Answers, other: Answers, section: Section) -> NDArray[np.float64]:
    """Of each scored token, nats; none where that is not to be had."""
    before, after = section_logprobs(base, section), section_logprobs(other, section)
    return np.subtract(after, before) if len(before) == len(after) else np.empty(0)


def _without_ends(lifts: NDArray[np.float64]) -> float:
    """Mean without the most lifted token and the most lowered one: without the first alone, scatter would be a loss."""
    return float((lifts.sum() - lifts.max() - lifts.min()) / (lifts.size - 2))
