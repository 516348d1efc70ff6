"""gradient_ghost: what does the optimizer's state say about where training stood?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field

from sway_gguf.core.answers import Answers
from sway_gguf.core.inputs import at_home
from sway_gguf.core.measurement import Item, Measurement, checked
from sway_gguf.probes.base import StaticProbe
from sway_gguf.spec.options import ProbeOptions


class GradientGhostOptions(ProbeOptions):
    """Fields of `gradient_ghost`."""

    kind: Literal["gradient_ghost"] = "gradient_ghost"
    checkpoint: str = Field(
        default="",
        alias="adapter_path",
        description="a folder with a Hugging Face Trainer's optimizer.pt or dlm's training_state.pt",
    )
    min_steps_threshold: int = Field(default=1, ge=1, description="updates that the run must have made")
    max_ratio: float = Field(default=2.0, gt=1, description="times what gradients without direction would leave")


class GradientGhost(StaticProbe[GradientGhostOptions]):
    """How steadily gradients still pulled one way when training stopped, over what pure noise would leave.

    For each parameter, the root mean square of Adam's first moment over the square root of its mean second moment,
    both bias-corrected, divided by the same ratio for independent gradients, √((1−β₁)/(1+β₁)) after many steps. The
    value is the median over parameters: near 1 the pull was spent, far above 1 the run was cut short. No model is
    asked.
    """

    kind = "gradient_ghost"
    axis = "signal"
    question = "Had training come to rest, or were the gradients still pulling one way?"
    unit = "times noise"
    passing = "the median ratio is below max_ratio, and every moment is finite and alive"
    caveat = "gradients also come to rest in a bad place."
    options_type = GradientGhostOptions
    quick = False
    retired: ClassVar[Mapping[str, str]] = {
        "undertrained_layer_ratio": "gradients are compared with what noise would leave, by max_ratio",
        "layer_failure_frac": "the median over parameters decides",
    }

    def missing(self) -> str:
        """A checkpoint."""
        return "" if self.options.checkpoint else "give checkpoint: a folder with optimizer.pt or training_state.pt"

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """The ratio per parameter."""
        folder = self.sources.folder / at_home(self.options.checkpoint)
        training = self.sources.checkpoint(folder)
        moments = training.moments
        if not moments:
            return Measurement(
                0.0, undecided="the folder holds no optimizer.pt or training_state.pt with Adam's moments"
            )
        steps, wanted = training.steps or max(m.steps for m in moments), self.options.min_steps_threshold
        broken = [m.name for m in moments if not (math.isfinite(m.first) and math.isfinite(m.second))]
        dead = [m.name for m in moments if m.second == 0]
        items = tuple(
            Item(f"parameter {m.name}", m.first / m.second / m.noise, {"steps": m.steps, "gradient_rms": m.second})
            for m in moments
            if m.name not in broken and m.second > 0
        )
        value = median([item.value for item in items]) if items else 0.0
        limit = self.options.max_ratio
        return Measurement(
            value,
            items,
            checks=(
                checked("long enough", steps >= wanted, f"{steps} updates", f"{steps} updates of the {wanted} wanted"),
                checked("finite", not broken, "finite", f"{len(broken)} parameters with moments that are not finite"),
                checked("alive", not dead, "all alive", f"{len(dead)} parameters never had a gradient"),
                checked(
                    "at rest",
                    value <= limit,
                    "gradients at rest",
                    f"gradients pulled one way, {value:.1f} times as much as noise does",
                ),
            ),
            interval=False,
        )
