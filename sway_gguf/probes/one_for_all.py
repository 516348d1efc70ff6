"""Whether one reply stands for all: among good replies that are scored, and among those that a view writes itself.

A mean over tokens hardly sees an adapter that answers every request with the same refusal: once a good reply is begun,
each of its tokens may be as likely as ever. Knows answers; no nulls or verdicts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, checked
from sway_gguf.core.queries import Generate, NextToken
from sway_gguf.core.sections import Section, folded
from sway_gguf.stats.binomial import majority_p
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval

_TOKENS = 48
"""Of a reply: two that share so many share more than a courtesy."""
_SURE = 0.05
"""Chance of so many of a kind, were half of them so."""


def shares_replies(items: Sequence[Item], sections: Sequence[Section], tolerance: float) -> tuple[Check, ...]:
    """A check that misses where the change, each different reply counted once, does not surely lie above `tolerance`.

    Args:
        items: changes, of `sections` in their order.
        sections: requests with replies.
        tolerance: nats per token.

    Returns:
        Nothing where no reply comes twice.
    """
    changes: dict[str, list[float]] = defaultdict(list)
    for item, section in zip(items, sections, strict=True):
        changes[folded(section.text)].append(item.value)
    if len(changes) == len(items):
        return ()
    means = [sum(each) / len(each) for each in changes.values()]
    span = mean_interval(means)
    shared = f"{len(items)} requests share {len(changes)} {'reply' if len(changes) == 1 else 'replies'}"
    if span is None:
        return (Check("replies", False, f"{shared}: of other replies that tells nothing; give {MIN_ITEMS} or more"),)
    counted = f"{shared}, and each of these counted once changed by {sum(means) / len(means):+.2g}"
    wrong = f"{counted}: not surely above {tolerance:g}"
    return (checked("replies", span.low > tolerance, counted, wrong),)


def opening(section: Section) -> NextToken:
    """What comes first in the first reply that is scored; it is read with the reply, and costs nothing beside it."""
    if not section.replies:
        return NextToken(section.prompt)
    first = section.replies[0]
    return NextToken(first.text[: first.spans[0][0]])


def suspected(own: Answers, openings: Sequence[NextToken]) -> list[Generate]:
    """The replies to write, where the likeliest token opens half of all replies or more: else no reply stands for half.

    Where the view was not asked for openings, or for too few, none is written.
    """
    likeliest = [int(own.next_token(each).argmax()) for each in openings if each in own]
    if len(likeliest) < MIN_ITEMS or 2 * _usual(likeliest) < len(likeliest):
        return []
    return [Generate(each.prompt, _TOKENS) for each in openings]


def one_for_all(base: Answers, own: Answers, asked: Sequence[Generate]) -> tuple[Check, ...]:
    """A check that misses where `own` gives half of `asked` or more one and the same reply, and the base does not.

    It fails where that is surely so of more than half of such requests (one-sided binomial test).

    Returns:
        Nothing where fewer than five replies were written.
    """
    replies, theirs = _written(own, asked), _written(base, asked)
    if len(replies) < MIN_ITEMS:
        return ()
    ((usual, count),) = Counter(replies).most_common(1)
    what = "one and the same reply" if usual else "no reply"
    told = f"it gives {what} to {count} of {len(replies)} requests"
    fine = f"{len(set(replies))} of {len(replies)} replies that it writes differ"
    differ = 2 * count < len(replies) or (bool(theirs) and count <= _usual(theirs))
    return (checked("one for all", differ, fine, told, fails=majority_p(count, len(replies)) < _SURE),)


def _written(view: Answers, asked: Sequence[Generate]) -> list[str]:
    return [folded(view.generated(query).text) for query in asked if query in view]


def _usual(kinds: Iterable[object]) -> int:
    """How many are of the commonest kind."""
    return max(Counter(kinds).values())
