"""delta_kl: how far does the next-token distribution move, compared with nulls of the same size?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.divergence import BY_NAME
from sway_gguf.core.measurement import Item, Measurement
from sway_gguf.core.queries import NextToken, Query, shorten
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions


class DeltaKlOptions(ProbeOptions):
    """Fields of `delta_kl`."""

    kind: Literal["delta_kl"] = "delta_kl"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts")
    divergence: Literal["js", "kl"] = Field(default="js", description="js, or kl(tuned ‖ base)")


class DeltaKl(Probe[DeltaKlOptions]):
    """Mean divergence between the base's and the tuned model's next-token distribution, over prompts.

    value = mean over prompts of JS(tuned, base), or KL(tuned ‖ base), in nats, exact over the vocabulary.
    """

    kind = "delta_kl"
    axis = "signal"
    question = "Does the adapter move the next token further than a null adapter of its size does?"
    unit = "nats"
    passing = "the divergence beats every null, and its corrected tail p is below alpha"
    caveat = "a large change is not a good one; the direction probes tell where it goes."
    options_type = DeltaKlOptions
    retired: ClassVar[Mapping[str, str]] = {
        "top_k": "divergences are exact over the vocabulary",
        "assert_z_gte": "z is shown, never the gate",
        "assert_mean_gte": "the nulls decide, not a fixed divergence",
    }

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        return self.held(self.options.prompts or self.sources.prompts, NextToken)

    def missing(self) -> str:
        """Prompts."""
        return "" if self.prompts else "give it prompts"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt."""
        return [NextToken(prompt) for prompt in self.prompts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Divergence per prompt, averaged."""
        divergence = BY_NAME[self.options.divergence]
        items = tuple(
            Item(shorten(prompt), divergence(base.next_token(prompt), other.next_token(prompt)))
            for prompt in self.prompts
        )
        return Measurement(mean_of(items), items)
