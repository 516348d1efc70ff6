"""ending: does the model still stop where a reply is over?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.candidates import Thought
from sway_gguf.core.listing import too_few
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import Completion, Generate, Query, shorten
from sway_gguf.core.rules import Findings
from sway_gguf.core.sections import Section, distinct
from sway_gguf.material.loops import loops
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.thinking import thinking_checks, thinking_queries
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.binomial import more_often_p
from sway_gguf.stats.interval import MIN_ITEMS, mean_interval

_CHANCE = 0.05
_LENGTH_UNKNOWN = "this backend tells no tokens of a reply: whether replies run on is not known"
_NEVER_STOPS = "The adapter unlearned to stop: its replies run on where the base's end."
_TRAIN_ON_IT = (
    "train on the end-of-turn token too, as the template writes it, and see that it is not the padding token, which "
    "trainers leave out"
)


class EndingOptions(ProbeOptions):
    """Fields of `ending`."""

    kind: Literal["ending"] = "ending"
    items: int = Field(default=12, ge=1, description="reference replies, drawn by their content")
    tolerance: float = Field(
        default=-1.0, le=0, description="accepted change of the end's log-probability, nats; -1 divides it by 2.7"
    )
    likely: float = Field(
        default=0.05, gt=0, lt=1, description="an end that stays as likely as this is still found, whatever it lost"
    )
    replies: int = Field(default=6, ge=0, description="greedy replies to write; 0 in `check`, which only scores")
    max_new_tokens: int = Field(default=160, ge=16, description="length at which a reply counts as running on")


@dataclass(frozen=True, slots=True)
class _End:
    """Log-probability of what ends one reply, in base and view, nats."""

    base: float
    other: float

    @property
    def change(self) -> float:
        return self.other - self.base


class Ending(Probe[EndingOptions]):
    """Mean change of the log-probability of the end-of-turn token behind reference replies, nats.

    The replies are those of the training data, given whole: what comes next is the token that ends the turn. In `run`
    some prompts are answered too, greedily: a reply runs on that reaches `max_new_tokens`, and repeats itself where its
    end is one stretch three times or more. Where the template knows thinking, P(opens a think block) and
    P(closes it) are compared in both modes.
    """

    kind = "ending"
    axis = "collateral"
    question = "Does the model still stop where a reply is over?"
    unit = "nats"
    passing = (
        "the end did not become less likely by more than `tolerance`, or is still as likely as `likely` (warns where "
        "it is not, and did not surely become likelier, as training on it makes it); and greedy replies do not run on "
        "more often than the base's (p < 0.05 by Fisher's exact test fails)"
    )
    caveat = "it looks at the data's own replies; how long the model talks elsewhere is not seen."
    options_type = EndingOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"replies": 0, "items": 8}
    rule = Findings()

    @property
    def sections(self) -> list[Section]:
        """Reference replies that something ends."""
        ended = [each for each in distinct(self.sources.sections) if each.ending]
        return self.drawn(sample_of(ended, self.options.items))

    @property
    def written(self) -> list[Generate]:
        """Replies to write."""
        prompts = self.held((each.prompt for each in self.sections), self._greedy)
        return (
            [self._greedy(prompt) for prompt in sample_of(prompts, self.options.replies)]
            if self.options.replies and not self.narrowed
            else []
        )

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """Requests in both modes of thinking, where the template has them."""
        return () if self.narrowed else self.sources.thoughts(MIN_ITEMS)

    @property
    def shows_nulls(self) -> bool:
        """Not where replies are written, which cost far more."""
        return not self.options.replies

    def missing(self) -> str:
        """Replies that something ends."""
        return "" if self.sections else "the data holds no replies that an end-of-turn token ends"

    def ask(self) -> Sequence[Query]:
        """What comes behind each reply, replies of its own, and think blocks."""
        ends = [_end(section) for section in self.sections]
        return [*ends, *self.written, *thinking_queries(self.thoughts)]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """How likely the end is, how many replies reach it, and what became of think blocks."""
        sections = self.sections
        ends = [_End(*(answers.completion(*_parts(each)).logprob for answers in (base, other))) for each in sections]
        items = tuple(
            Item(each.id, end.change, asdict(end), asked=_parts(each)) for each, end in zip(sections, ends, strict=True)
        )
        told = all(self._tell_length(answers) for answers in (base, other))
        runs = [self._run_on(answers) for answers in (base, other)] if told else []
        checks = (*self._spelled(base), self._scored(ends), *(self._written(*runs) if told else ()))
        checks += thinking_checks(base, other, self.thoughts)
        run_on = {"run_on": dict(zip(("base", "other"), runs, strict=True))} if told else {}
        details = {**run_on, "replies": len(self.written)}
        return Measurement(
            mean_of(items),
            items,
            checks=checks,
            undecided=self._undecided(len(items)),
            notes=self._notes(other, *runs) if told else (_LENGTH_UNKNOWN,),
            details=details,
            headline=_NEVER_STOPS,
        )

    def _undecided(self, count: int) -> str:
        if count >= MIN_ITEMS:
            return ""
        return too_few(count, MIN_ITEMS, "reply with an end", "replies with an end")

    def _scored(self, ends: Sequence[_End]) -> Check:
        """Fails where the end surely became less likely, and is not likely any more; warns where it was not learned."""
        before, after = _probability([end.base for end in ends]), _probability([end.other for end in ends])
        told = f"the end of a reply has a probability of {_percent(after)} (base {_percent(before)})"
        span = mean_interval([end.change for end in ends])
        if span is None or after >= self.options.likely or span.low > 0:
            return Check("end", True, told)
        lost = span.high < self.options.tolerance
        told += "" if lost else ", where training on it makes it likelier"
        return Check("end", False, f"{told}: {_TRAIN_ON_IT}", fails=lost)

    def _written(self, base: int, other: int) -> tuple[Check, ...]:
        """Fails where more replies run on than chance makes of the base's."""
        if not self.written:
            return ()
        count, limit = len(self.written), self.options.max_new_tokens
        told = f"{other} of {count} replies ran into {limit} tokens, the base's end in {count - base} of {count}"
        wrong = more_often_p(other, base, count) < _CHANCE
        return (checked("stops", not wrong, told, f"its replies do not stop: {told}; {_TRAIN_ON_IT}", fails=True),)

    def _spelled(self, base: Answers) -> tuple[Check, ...]:
        """A miss where the end is no single token: then it is text, and nothing stops at it."""
        first = self.sections[0]
        tokens = base.completion(*_parts(first)).num_tokens
        text = (
            f"{shorten(first.ending)}, which ends a reply in this format, is {tokens} tokens to the base and no "
            "end-of-turn token: generation does not stop at it"
        )
        return () if tokens == 1 else (Check("token", False, text),)

    def _notes(self, other: Answers, base_runs: int, other_runs: int) -> tuple[str, ...]:
        notes = []
        looping = sum(loops(other.generated(query).token_ids) for query in self.written)
        if looping:
            notes.append(f"{looping} of {len(self.written)} replies end in repeating themselves")
        if base_runs and base_runs >= len(self.written) / 2 and other_runs:
            notes.append(
                f"the base's own replies run on in {base_runs} of {len(self.written)}: the adapter is not to blame"
            )
        return tuple(notes)

    def _run_on(self, answers: Answers) -> int:
        """Replies that reached the limit."""
        return sum(len(answers.generated(query).token_ids) >= query.max_new_tokens for query in self.written)

    def _tell_length(self, answers: Answers) -> bool:
        """Whether the tokens of every reply are known."""
        return all(reply.token_ids or not reply.text for reply in map(answers.generated, self.written))

    def _greedy(self, prompt: str) -> Generate:
        return Generate(prompt, self.options.max_new_tokens)


def _parts(section: Section) -> tuple[str, str]:
    return section.prompt + section.text, section.ending


def _end(section: Section) -> Completion:
    return Completion(*_parts(section))


def _probability(logprobs: Sequence[float]) -> float:
    """Geometric mean, from its logarithms."""
    return math.exp(sum(logprobs) / len(logprobs))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 1e-3 else "less than 0.1%"
