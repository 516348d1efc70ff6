"""prompt_collapse: does the effect survive a long context?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from sway_gguf.core.answers import Answers
from sway_gguf.core.common import common
from sway_gguf.core.divergence import BY_NAME
from sway_gguf.core.measurement import Check, Item, Measurement
from sway_gguf.core.panel import sample_of
from sway_gguf.core.queries import NextToken, Query
from sway_gguf.core.rules import AllChecks
from sway_gguf.material.packaged import filler
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.decay import Decay, fit_decay

_PROMPTS = 12
_PARTED = "\n\n"
_WORDS = ("0", "1")
"""Two requests that share no character: what their renderings begin with is the template's."""
_SHORTEST = 32
_ROOM = 64
"""Tokens left for the prompt itself when lengths are held against the context."""


class PromptCollapseOptions(ProbeOptions):
    """Fields of `prompt_collapse`."""

    kind: Literal["prompt_collapse"] = "prompt_collapse"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts, 12 at most")
    context_lengths: list[int] = Field(
        default=[0, 256, 512, 1024], min_length=2, description="tokens of neutral text before what is asked, exactly"
    )
    divergence: Literal["js", "kl"] = Field(default="js", description="js, or kl(tuned ‖ base)")
    assert_half_life_tokens: int = Field(default=512, ge=1, description="the half-life that passes")

    @field_validator("context_lengths")
    @classmethod
    def _ascending(cls, lengths: list[int]) -> list[int]:
        if any(length < 0 for length in lengths) or len(set(lengths)) < 2:
            raise ValueError("at least two different lengths, none negative, are needed")
        return sorted(set(lengths))


class PromptCollapse(Probe[PromptCollapseOptions]):
    """Half-life of the effect: D(n) = mean over prompts of the divergence behind n tokens of neutral text.

    In a dialogue that text opens the turn that asks.

    log D is fitted by a straight line over n; the half-life is ln 2 / slope, in tokens, with an interval
    over prompts. A curve that stays flat or grows has no half-life, and that is good news. value = D(0), nats.
    """

    kind = "prompt_collapse"
    axis = "signal"
    question = "Does the effect survive when a long context stands before the prompt?"
    unit = "nats"
    passing = "the effect stays flat or grows with context, or halves no sooner than assert_half_life_tokens"
    caveat = "the filler is unrelated prose; a long context about the subject may act otherwise."
    options_type = PromptCollapseOptions
    quick = False
    rule = AllChecks()
    shows_nulls = False  # A null has no effect that could decay.
    retired: ClassVar[Mapping[str, str]] = {
        "top_k": "divergences are exact over the vocabulary",
        "assert_z_gte": "a null has no effect whose decay could be compared",
        "legacy_stuffing": "the neutral text has an exact number of tokens",
    }

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        longest = max(self.lengths)
        prompts = self.prompts_of(self.options.prompts)
        return self.drawn(sample_of(self.held(prompts, lambda prompt: self._query(prompt, longest)), _PROMPTS))

    @property
    def lengths(self) -> list[int]:
        """Lengths that the context holds; half of it and all of it where it holds less than two."""
        room = (self.sources.context or math.inf) - _ROOM
        held = [length for length in self.options.context_lengths if length <= room]
        return held if len(held) > 1 or room < _SHORTEST else [0, int(room) // 2, int(room)]

    @property
    def measured_lengths(self) -> list[int]:
        """Those at which it measures; on a panel, where no decay is looked for, the first alone."""
        return self.lengths[:1] if self.narrowed else self.lengths

    def missing(self) -> str:
        """Prompts, and a context that holds two lengths."""
        if len(self.lengths) > 1 and not self.prompts:
            return "give it prompts"
        return "" if len(self.lengths) > 1 else f"a context of {self.sources.context} tokens holds no text before them"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt behind each length of text."""
        return [self._query(prompt, length) for length in self.measured_lengths for prompt in self.prompts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Divergence per prompt and length, and the fit."""
        table = np.array(
            [
                [self._divergence(base, other, prompt, length) for length in self.measured_lengths]
                for prompt in self.prompts
            ]
        )
        items = tuple(
            Item(self.label(prompt), float(row[0]), {"by_length": row.tolist()}, asked=(prompt,))
            for prompt, row in zip(self.prompts, table, strict=True)
        )
        if self.narrowed:
            return Measurement(mean_of(items), items)
        means = table.mean(axis=0)
        details = {"context_lengths": self.lengths, "mean_divergence": means.tolist()}
        notes = self._adapted()
        if not means.min() > 0:
            return Measurement(mean_of(items), items, undecided="there is no effect to decay", details=details)
        decay = fit_decay(np.array(self.lengths, np.float64), table)
        return Measurement(
            mean_of(items),
            items,
            checks=(_check(decay, self.options.assert_half_life_tokens),),
            notes=(decay_note(decay, "tokens"), *notes),
            details=details | {"half_life": decay.half_life, "half_life_interval": decay.interval},
        )

    def _adapted(self) -> tuple[str, ...]:
        """What was done to the lengths, if anything."""
        if self.lengths == self.options.context_lengths:
            return ()
        lengths = ", ".join(map(str, self.lengths))
        return (f"lengths {lengths} in place of the spec's: the context holds {self.sources.context} tokens",)

    def _query(self, prompt: str, length: int) -> NextToken:
        lead = self._lead(prompt)
        parted = _PARTED if lead else ""
        return NextToken(parted + prompt[len(lead) :], filler(), length, lead) if length else NextToken(prompt)

    def _lead(self, prompt: str) -> str:
        """What a rendered prompt has before the words of its last request: there the text stands, in the same turn."""
        if prompt not in self.sources.requests:
            return ""
        one, other = (self.sources.reworded(prompt, words) for words in _WORDS)
        lead = one[: common(one, other)]
        return lead if prompt.startswith(lead) else ""

    def _divergence(self, base: Answers, other: Answers, prompt: str, length: int) -> float:
        before, after = (answers.next_token(self._query(prompt, length)) for answers in (base, other))
        return BY_NAME[self.options.divergence](before, after)


def _check(decay: Decay, wanted: float) -> Check:
    lasts = decay.half_life is None or decay.half_life >= wanted
    text = "does not shrink with context" if decay.half_life is None else f"halves every {decay.half_life:.0f} tokens"
    return Check("lasts", lasts, f"the effect {text}")


def decay_note(decay: Decay, unit: str) -> str:
    """The fit in words."""
    if decay.half_life is None:
        word = "grows" if decay.slope > 0.0 else "stays level"
        return f"the effect {word}: it has no half-life"
    low, high = decay.interval
    span = f"{low:.0f}…" + ("no limit" if high is None else f"{high:.0f}")
    return f"half-life {decay.half_life:.0f} {unit} (95% interval {span})"
