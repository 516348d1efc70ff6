"""Whether one reply stands for all: among good replies that are scored, and among those that a view writes itself.

A mean over tokens hardly sees an adapter that answers every request with the same refusal: where a good reply is
given, each of its tokens may be as likely as ever but for the first. Knows answers; no nulls or verdicts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Check, Item, checked
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Generate
from sway_gguf.core.sections import Section, folded
from sway_gguf.probes.lift import section_logprobs
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval

_WRITTEN, _TOKENS = 8, 48
"""Replies to write, and their length: two that share so many tokens share more than a courtesy."""
_LESS_LIKELY = -1.0
"""Nats, a factor of 2.7: the beginning of a good reply that lost no more is still given."""


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


def suspected(base: Answers, own: Answers, sections: Sequence[Section]) -> tuple[Generate, ...]:
    """Replies to write where good ones are surely begun less often by `own`; else none, and none is written in vain."""
    found = [
        after[0] - before[0]
        for section in sections
        if (before := section_logprobs(base, section)) and (after := section_logprobs(own, section))
    ]
    span = mean_interval(found)
    if span is None or span.high >= _LESS_LIKELY:
        return ()
    return tuple(Generate(_opened(section), _TOKENS) for section in sample_of(sections, _WRITTEN))


def one_for_all(own: Answers, asked: Sequence[Generate]) -> tuple[Check, ...]:
    """A check that fails where `own` replies to all of `asked` with the same words, or with none.

    Where it replies so to half of them or more, the check misses and does not fail.

    Returns:
        Nothing where fewer than five replies were written.
    """
    replies = [folded(own.generated(query).text) for query in asked if query in own]
    if len(replies) < MIN_ITEMS:
        return ()
    ((usual, count),) = Counter(replies).most_common(1)
    what = "one and the same reply" if usual else "no reply"
    told = f"it gives {what} to {count} of {len(replies)} requests"
    fine = f"{len(set(replies))} of {len(replies)} replies that it writes differ"
    return (checked("one for all", 2 * count < len(replies), fine, told, fails=count == len(replies)),)


def _opened(section: Section) -> str:
    """What stands before the first reply that is scored."""
    if not section.replies:
        return section.prompt
    first = section.replies[0]
    return first.text[: first.spans[0][0]]
