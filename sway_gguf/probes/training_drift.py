"""training_drift: what does the loss curve of the training run say?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from sway_gguf.core.answers import Answers
from sway_gguf.core.inputs import at_home
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.training import Training
from sway_gguf.probes.base import StaticProbe
from sway_gguf.spec.options import ProbeOptions

_WINDOW = 5
_LARGEST = 3.4e38
"""Of float32: no loss of a run that was still whole lies beyond it."""
_ZERO = 1e-9
"""Below this a loss is zero: trainers log four digits."""
_BESIDE_ZEROS = 0.05
"""Share of the largest loss from which one among zeros is a spike."""


class TrainingDriftOptions(ProbeOptions):
    """Fields of `training_drift`."""

    kind: Literal["training_drift"] = "training_drift"
    checkpoint: str = Field(
        default="",
        alias="store_path",
        description="a Hugging Face Trainer's checkpoint folder, or a dlm store with its logs",
    )
    min_steps: int = Field(default=_WINDOW, ge=2, description="fewer logged losses decide nothing; 5 at least")
    min_drop: float = Field(default=0.05, ge=0, description="share of the first loss that must be gone")
    spike_factor: float = Field(default=2.0, gt=1, description="times the median of the neighbours")
    max_spikes: int = Field(
        default=0, ge=0, alias="assert_instability_events_lte", description="spikes that are let pass"
    )
    max_last_drop: float = Field(default=0.05, ge=0, description="drop in the last quarter above which it was not done")

    @model_validator(mode="before")
    @classmethod
    def _drop_from_ratio(cls, given: Any) -> Any:
        """The original asks for last / first ≤ r, which is a drop of at least 1 − r."""
        ratio = given.get("assert_convergence_ratio_lte") if isinstance(given, Mapping) else None
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or "min_drop" in given:
            return given
        rest = {key: value for key, value in given.items() if key != "assert_convergence_ratio_lte"}
        return rest | {"min_drop": max(0.0, 1 - ratio)}


class TrainingDrift(StaticProbe[TrainingDriftOptions]):
    """Share of the loss that training took away: (first − last) / |first|, medians of five logged losses at either end.

    Checks: the loss fell; it had settled (the last quarter took little more); no logged loss stands out as a spike
    above its neighbours; none is non-finite; the evaluation loss, where logged, did not turn upward. No model is asked.
    """

    kind = "training_drift"
    axis = "signal"
    question = "Does the loss curve look like a run that learned and was done?"
    unit = "share"
    passing = "the loss fell and settled without spikes"
    caveat = "a fine curve on the wrong data is a fine curve."
    options_type = TrainingDriftOptions
    quick = False
    retired: ClassVar[Mapping[str, str]] = {
        "rolling_window": "a loss is compared with up to four neighbours",
        "spike_sigma": "spike_factor says how far a loss may stand out",
        "assert_smoothness_gte": "spikes are counted, by spike_factor and max_spikes",
    }

    def missing(self) -> str:
        """A checkpoint."""
        return "" if self.options.checkpoint else "give checkpoint: a folder with trainer_state.json, or a dlm store"

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """The curve and its checks."""
        training = self.sources.checkpoint(self.sources.folder / at_home(self.options.checkpoint))
        losses = [loss for _, loss in training.losses]
        items = tuple(Item(f"step {step}", loss) for step, loss in training.losses if _is_whole(loss))
        if len(losses) < max(_WINDOW, self.options.min_steps):
            return Measurement(0.0, items, undecided=f"only {len(losses)} losses were logged; log more often")
        if len(items) < len(losses):
            broken = next(step for step, loss in training.losses if not _is_whole(loss))
            wrong = Check("finite", False, f"the loss is not finite at step {broken}")
            return Measurement(0.0, items, checks=(wrong,), interval=False)
        first = median(losses[:_WINDOW])
        if abs(first) < _ZERO:
            return Measurement(0.0, items, undecided="the first losses are zero, and a share of zero says nothing")
        drop = share_gone(first, median(losses[-_WINDOW:]))
        return Measurement(
            drop,
            items,
            checks=self._checks(training, losses, drop),
            interval=False,
            details={"steps": training.steps, "max_steps": training.max_steps},
        )

    def _checks(self, training: Training, losses: Sequence[float], drop: float) -> tuple[Check, ...]:
        options = self.options
        spikes = [training.losses[i][0] for i in spikes_of(losses, options.spike_factor)]
        quarter = losses[-max(2, len(losses) // 4) :]
        half = len(quarter) // 2
        late = share_gone(median(quarter[:half]), median(quarter[half:]))
        turned = [loss for _, loss in training.eval_losses]
        rising = bool(turned) and not turned[-1] <= min(turned) + 0.02 * abs(min(turned)) + _ZERO
        return (
            Check("fell", drop >= options.min_drop, f"the loss fell by {drop:.0%}"),
            Check("settled", late <= options.max_last_drop, f"the last quarter took {late:.0%} of the loss"),
            checked(
                "smooth",
                len(spikes) <= options.max_spikes,
                f"{len(spikes) or 'no'} spikes",
                f"spikes at step {', '.join(map(str, spikes[:3]))}",
            ),
            checked("held out", not rising, "no turn of the evaluation loss", "the evaluation loss turned upward"),
        )


def share_gone(before: float, after: float) -> float:
    """(before − after) / |before|; 0 where there was nothing to lose."""
    return (before - after) / abs(before) if abs(before) >= _ZERO else 0.0


def spikes_of(losses: Sequence[float], factor: float) -> list[int]:
    """Places whose loss is `factor` times the median of up to four neighbours or more.

    Neighbours of zero or below have no multiples: beside them, a twentieth of the largest loss stands out.
    """
    found = []
    for place, loss in enumerate(losses):
        near = [losses[i] for i in range(max(0, place - 2), min(len(losses), place + 3)) if i != place]
        usual = median(near) if near else math.inf
        if loss >= (factor * usual if usual >= _ZERO else max(_ZERO, _BESIDE_ZEROS * max(losses))):
            found.append(place)
    return found


def _is_whole(loss: float) -> bool:
    return math.isfinite(loss) and abs(loss) <= _LARGEST
