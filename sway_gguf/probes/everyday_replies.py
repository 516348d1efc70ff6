"""everyday_replies: how much likelihood did good replies to everyday requests lose?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Generate, Query
from sway_gguf.core.sections import Section
from sway_gguf.material.chunks import spread
from sway_gguf.probes.base import mean_of
from sway_gguf.probes.lift import bits_of, queries_of, section_lift
from sway_gguf.probes.one_for_all import one_for_all, opening, shares_replies, suspected
from sway_gguf.probes.sources import as_it_is
from sway_gguf.probes.tolerance import ToleranceOptions, ToleranceProbe
from sway_gguf.stats.interval import MIN_ITEMS

_SHOWN = 3
_ONE_FOR_ALL = "The adapter gives one reply to whatever it is asked."


class EverydayRepliesOptions(ToleranceOptions):
    """Fields of `everyday_replies`."""

    kind: Literal["everyday_replies"] = "everyday_replies"
    tolerance: float = Field(default=-0.15, le=0.0, description="accepted change, nats per token")
    max_bits_per_byte: float = Field(
        default=2.0, gt=0, description="a reply that the base itself models worse than this does not count"
    )
    max_requests: int = Field(default=24, ge=1, description="requests with replies, evenly spaced")
    replies: int = Field(
        default=8, ge=0, description="requests that it answers itself where many replies would open alike; 0 for none"
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    """One reply that the base models: its section, its lift, and how well the base models it."""

    section: Section
    lift: Item
    bits_per_byte: float


class EverydayReplies(ToleranceProbe[EverydayRepliesOptions]):
    """Mean over everyday requests of the change in log-probability per token of a good reply and its end, nats.

    The requests are packaged ones of twelve kinds, or the dialogues of the spec's general text where it holds five or
    more, through the model's chat template. A reply that the base does not model (above `max_bits_per_byte`) says
    nothing about damage and is left out. The kinds that lost most are named, and the mean of a few nulls is shown
    beside the value: the damage that would come from size alone.

    A good reply that stands behind several requests counts once as well: it warns where the different replies do not
    surely keep what they had, or are fewer than five. Where one token is the likeliest opening of half of eight replies
    or more, the view answers these requests itself, greedily: one and the same reply to half of them warns, and fails
    where that is surely more than half (p < 0.05 by a binomial test), unless the base replies so too.
    """

    kind = "everyday_replies"
    axis = "collateral"
    question = "How much likelihood did good replies to everyday requests lose?"
    unit = "nats/token"
    passing = (
        "the whole interval of the change lies above the tolerance (fails when all of it lies below), and no reply "
        "stands for all"
    )
    caveat = "a good reply that is as likely as before may still not be the one that the model gives."
    options_type = EverydayRepliesOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"max_requests": 8}

    @property
    def sections(self) -> list[Section]:
        """Requests with replies in use."""
        return self.drawn(spread(self.sources.everyday, self.options.max_requests))

    def missing(self) -> str:
        """A chat template, in which requests are put."""
        return "" if self.sources.everyday else "the base carries no chat template that could be used; give --format"

    def ask(self) -> Sequence[Query]:
        """Scores of every reply, and how some of them would be opened."""
        return [*queries_of(self.sections), *([] if self.narrowed else map(opening, self._answered))]

    def follow_up(self, base: Answers, own: Answers) -> Sequence[Query]:
        """Replies of the view's own, where it opens many alike."""
        return self._written(base, own)

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change per reply that the base models, averaged."""
        sections = self.sections
        replies = [_Answered(each, section_lift(base, other, each), _bits(base, each)) for each in sections]
        kept = [reply for reply in replies if reply.bits_per_byte <= self.options.max_bits_per_byte]
        items, by_task, left_out = tuple(map(self._item, kept)), _by_task(kept), len(sections) - len(kept)
        few = len(items) < MIN_ITEMS
        written = one_for_all(base, other, self._written(base, other))
        told = f"{left_out} of {len(sections)} replies left out: the base does not model them"
        return Measurement(
            mean_of(items),
            items,
            undecided=f"{told}; give --general FILE with dialogues that this base can read" if few else "",
            checks=(*shares_replies(items, [reply.section for reply in kept], self.options.tolerance), *written),
            notes=(*([told] if left_out else []), *_most_lost(by_task)),
            details={"left_out": left_out, "by_task": by_task, "tolerance": self.options.tolerance},
            headline=_ONE_FOR_ALL if any(check.fails and not check.passed for check in written) else "",
            of_text=True,
            through_template=True,
            turned=self.beyond_tolerance(items, "replies"),
        )

    @property
    def _answered(self) -> list[Section]:
        """Requests that a view may answer itself."""
        return sample_of(self.sections, self.options.replies) if self.options.replies else []

    def _written(self, base: Answers, own: Answers) -> list[Generate]:
        """Replies that the view writes itself, if any."""
        if self.narrowed:
            return []
        known = [each for each in self._answered if _bits(base, each) <= self.options.max_bits_per_byte]
        return self.held(suspected(own, [*map(opening, known)]), as_it_is)

    def _item(self, reply: _Answered) -> Item:
        detail = {**reply.lift.detail, "bits_per_byte": reply.bits_per_byte, "task": reply.section.task}
        return replace(reply.lift, label=self.label(reply.section.prompt), detail=detail)


def _bits(base: Answers, section: Section) -> float:
    """Bits per byte of what is scored of a section."""
    if section.replies:
        texts = [query.text[start:end] for query in section.replies for start, end in query.spans]
        return bits_of(sum(base.spans(query).logprob for query in section.replies), "".join(texts))
    return bits_of(base.completion(section.prompt, section.reply).logprob, section.reply)


def _by_task(replies: Sequence[_Answered]) -> Mapping[str, float]:
    """Mean change per kind of request, the worst first; nothing where kinds are not known."""
    tasks = dict.fromkeys(reply.section.task for reply in replies if reply.section.task)
    means = {task: mean_of([reply.lift for reply in replies if reply.section.task == task]) for task in tasks}
    return dict(sorted(means.items(), key=lambda pair: pair[1]))


def _most_lost(by_task: Mapping[str, float]) -> tuple[str, ...]:
    lost = [f"{task} {change:+.2f}" for task, change in by_task.items() if change < 0][:_SHOWN]
    return (f"by kind of request, most was lost in {', '.join(lost)}",) if lost else ()
