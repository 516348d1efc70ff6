"""delta_kl: how far does the next-token distribution move, compared with nulls of the same size?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sway_gguf.core.answers import Answers, LogProbs
from sway_gguf.core.divergence import BY_NAME
from sway_gguf.core.measurement import Item, Measurement, checked
from sway_gguf.core.queries import NextToken, Query
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.spec.options import ProbeOptions
from sway_gguf.stats.sharpness import sharpness

_LIKELY = 256
_UNLIKELY = -100.0
_MERE_SHARPNESS = 0.8


class DeltaKlOptions(ProbeOptions):
    """Fields of `delta_kl`."""

    kind: Literal["delta_kl"] = "delta_kl"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts")
    divergence: Literal["js", "kl"] = Field(default="js", description="js, or kl(tuned ‖ base)")


class DeltaKl(Probe[DeltaKlOptions]):
    """Mean divergence between the base's and the tuned model's next-token distribution, over prompts.

    value = mean over prompts of JS(tuned, base), or KL(tuned ‖ base), in nats, exact over the vocabulary. Where nearly
    all of it is the base's own distributions made sharper or flatter by one power, a check says so: such an adapter
    knows nothing that the base does not. The power is fitted over the base's 256 likeliest tokens of each prompt.
    """

    kind = "delta_kl"
    axis = "signal"
    question = "Does the adapter move the next token further than a null adapter of its size does?"
    unit = "nats"
    passing = "the divergence beats every null and chance over all probes (WARN where it is mere sharpness)"
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
        return self.drawn(self.held(self.prompts_of(self.options.prompts), NextToken))

    def missing(self) -> str:
        """Prompts."""
        return "" if self.prompts else "give it prompts"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt."""
        return [NextToken(prompt) for prompt in self.prompts]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Divergence per prompt, averaged."""
        divergence = BY_NAME[self.options.divergence]
        rows = [(base.next_token(prompt), other.next_token(prompt)) for prompt in self.prompts]
        items = tuple(
            Item(self.label(prompt), divergence(*pair), asked=(prompt,))
            for prompt, pair in zip(self.prompts, rows, strict=True)
        )
        power, explained = sharpness(*(np.stack(table) for table in zip(*starmap(_likely, rows), strict=True)))
        told = f"{explained:.0%} of the change is the base's own predictions to the power {power:.2f}"
        check = checked("more than sharpness", explained < _MERE_SHARPNESS, told, f"{told}, sharper or flatter")
        return Measurement(
            mean_of(items), items, checks=(check,), details={"power": power, "explained_by_power": explained}
        )


def _likely(base: LogProbs, other: LogProbs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both over the tokens that the base finds likeliest, each summing to 1."""
    likely = np.argsort(-base, kind="stable")[:_LIKELY]
    # A backend may know nothing of what lies behind its most likely tokens.
    pair = (np.maximum(row[likely].astype(np.float64), _UNLIKELY) for row in (base, other))
    before, after = (row - np.logaddexp.reduce(row) for row in pair)
    return before, after
