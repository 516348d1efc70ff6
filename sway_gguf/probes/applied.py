"""applied: do the logits change at all when the adapter is on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from sway_gguf.core.answers import Answers, LogProbs
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import NextToken, Query
from sway_gguf.core.rules import AboveFloor
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions

_LIKELY = 64
_PROMPTS = 16


class AppliedOptions(ProbeOptions):
    """Fields of `applied`."""

    kind: Literal["applied"] = "applied"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts, 16 at most")


class Applied(Probe[AppliedOptions]):
    """Mean over prompts of the largest change of log-probability among the base's likely next tokens.

    value = mean over prompts of max |log p_tuned(t) − log p_base(t)| over the 64 tokens t that the base
    finds likeliest, nats. An adapter that llama.cpp loaded but that does nothing gives 0.
    """

    kind = "applied"
    axis = "applied"
    question = "Do the logits change at all when the adapter is on?"
    unit = "nats"
    passing = "the change is above the run's numerical noise floor"
    caveat = "the change may be noise, or in the wrong direction: it only says that the adapter reaches the logits."
    options_type = AppliedOptions
    rule = AboveFloor()
    shows_nulls = False

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        prompts = panel_of(self.held(self.prompts_of(self.options.prompts), NextToken), _PROMPTS, self.sources.seed)
        return self.drawn(prompts)

    def missing(self) -> str:
        """Prompts."""
        return "" if self.prompts else "give it prompts"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt."""
        return [NextToken(prompt) for prompt in self.prompts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Largest change per prompt, averaged."""
        items = tuple(
            Item(self.label(prompt), largest_change(base.next_token(prompt), other.next_token(prompt)), asked=(prompt,))
            for prompt in self.prompts
        )
        return Measurement(mean_of(items), items)


def largest_change(base: LogProbs, other: LogProbs) -> float:
    """max |log q − log p| over the tokens that p finds likeliest, nats. [V], [V] → scalar."""
    likely = np.argsort(-base, kind="stable")[:_LIKELY]
    return float(np.abs(other[likely].astype(np.float64) - base[likely]).max())
