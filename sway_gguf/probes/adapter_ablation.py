"""adapter_ablation: does the effect grow as the adapter is turned up, and where is it best?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from sway_gguf.core.answers import Answers
from sway_gguf.core.divergence import js_distance
from sway_gguf.core.measurement import Check, Curve, Item, Measurement, checked
from sway_gguf.core.panel import panel_of
from sway_gguf.core.queries import NextToken, Query
from sway_gguf.core.rules import AllChecks
from sway_gguf.core.sections import Section
from sway_gguf.probes.base import Probe, mean_of
from sway_gguf.probes.lift import queries_of, section_lift
from sway_gguf.spec.options import ProbeOptions

_PROMPTS = 8
_SECTIONS = 4
_SLACK = 0.02
_SMALLEST_SLOPE = 0.2
_OVER_SCALED = 0.5
_FARTHEST, _FULL = math.sqrt(math.log(2)), 0.95
"""The JS distance of two distributions that share no token, and the share of it from which there is no room to rise."""


class AdapterAblationOptions(ProbeOptions):
    """Fields of `adapter_ablation`."""

    kind: Literal["adapter_ablation"] = "adapter_ablation"
    prompts: list[str] = Field(default_factory=list, description="default: the run's prompts, 8 at most")
    lambdas: list[float] = Field(
        default=[0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0],
        min_length=3,
        description="scalings of the adapter; 0 and 1 are always among them",
    )

    @field_validator("lambdas")
    @classmethod
    def _finite(cls, values: list[float]) -> list[float]:
        if not all(np.isfinite(value) and value >= 0 for value in values):
            raise ValueError("every λ must be finite and not negative")
        if sum(0 < value < 1 for value in values) < 2:
            raise ValueError("at least two λ between 0 and 1 are needed to see a curve")
        return values


class AdapterAblation(Probe[AdapterAblationOptions]):
    """Shape of the effect over λ: D(λ) = mean over prompts of the JS distance √JS to the base.

    √JS is linear in a small perturbation, so a healthy curve rises and has not levelled off at λ = 1. value = D(1).
    Where the likeliest token turns, all of it may come within a quarter of λ: along the straight line from the base's
    logits to the tuned ones it does so too.

    Scale response: the λ at which the document's own log-probability peaks, by a parabola through the best point and
    its neighbours. Still rising at the largest λ is the mark of an adapter that runs under-scaled (rsLoRA converted
    without its factor √r) or was trained short; a peak at λ ≤ ½ that of an over-scaled one.
    """

    kind = "adapter_ablation"
    axis = "signal"
    question = "Does the effect grow as the adapter is turned up, and is λ = 1 a good place?"
    unit = "√nats"
    passing = "the curve rises, and still rises at λ = 1, unless it has come to the end of its range by and by"
    caveat = "a random adapter has a rising curve as well; the shape qualifies an effect that others have shown."
    options_type = AdapterAblationOptions
    quick_options: ClassVar[Mapping[str, Any]] = {"lambdas": [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0]}
    rule = AllChecks()
    shows_nulls = False  # Ablating a null makes no sense.
    retired: ClassVar[Mapping[str, str]] = {
        "divergence": "the curve is of the JS distance, which is linear in a small update",
        "top_k": "distances are exact over the vocabulary",
        "assert_z_gte": "ablating a null makes no sense",
        "assert_linearity_gte": "a curve that rises is healthy, however it bends",
        "assert_saturation_between": "the slope at λ = 1 is looked at",
        "assert_overshoot_gte": "the slope at λ = 1 is looked at",
    }

    @property
    def prompts(self) -> list[str]:
        """Prompts in use."""
        return panel_of(self.held(self.prompts_of(self.options.prompts), NextToken), _PROMPTS, self.sources.seed)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Sections whose log-probability is followed over λ."""
        return () if self.narrowed else tuple(panel_of(self.sources.sections, _SECTIONS, self.sources.seed))

    @property
    def scales(self) -> tuple[float, ...]:
        """Every λ but 0 (the base) and 1 (the tuned view)."""
        return tuple(sorted({lam for lam in self.options.lambdas if lam not in (0.0, 1.0)}))

    def missing(self) -> str:
        """Prompts."""
        return "" if self.prompts else "give it prompts"

    def ask(self) -> Sequence[Query]:
        """The next token after each prompt, and scores of some sections."""
        return [*map(NextToken, self.prompts), *queries_of(self.sections)]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """D at one λ, with the sections' mean lift."""
        items = tuple(
            Item(self.label(prompt), js_distance(base.next_token(prompt), other.next_token(prompt)), asked=(prompt,))
            for prompt in self.prompts
        )
        lifts = [section_lift(base, other, section) for section in self.sections]
        return Measurement(mean_of(items), items, lift=mean_of(lifts) if lifts else None)

    def over_scales(self, curve: Mapping[float, Measurement]) -> Measurement:
        """Judge the curve's shape."""
        points = [curve[scale] for scale in sorted(curve)]
        found = Curve((0.0, *sorted(curve)), (0.0, *(point.value for point in points)))
        if not max(found.values) > 0:
            return Measurement(0.0, undecided="the curve is flat: there is no effect to scale", curve=found)
        notes: tuple[str, ...] = ()
        checks = shape_checks(np.array(found.scales), np.array(found.values))
        lifts = [point.lift for point in points if point.lift is not None]
        if lifts:
            found = replace(found, lifts=(0.0, *lifts), peak=peak_of(found.scales, (0.0, *lifts)))
            assert found.peak is not None
            notes = (f"the document's log-probability peaks at λ = {found.peak:.2f}",)
            checks = (*checks, scale_check(found.peak, max(found.scales)))
        return Measurement(curve[1.0].value, curve[1.0].items, checks=checks, notes=notes, curve=found)


def shape_checks(lambdas: NDArray[np.float64], distances: NDArray[np.float64]) -> tuple[Check, ...]:
    """Rising, not levelled off, on 0 ≤ λ ≤ 1. [n] ascending from 0, [n] → checks.

    An adapter that always begins its replies alike takes the distance to its end, √ln 2, before λ = 1. Such a curve
    has to level off, whatever the scale, unless it is there at λ = ½ already.
    """
    inside = lambdas <= 1.0
    x, y = lambdas[inside], distances[inside]
    steps = np.diff(y)
    rising = bool((steps >= -_SLACK * y.max()).all())
    end = _FULL * _FARTHEST
    if y[-1] >= end > np.interp(0.5, x, y):
        full = f"at λ = 1 next tokens are {y[-1] / _FARTHEST:.0%} as far apart as they can be: the shape tells nothing"
        return (checked("rising", rising, full, "falls somewhere before λ = 1"),)
    slope = (y[-1] - y[-2]) / (x[-1] - x[-2]) / (y[-1] / x[-1]) if y[-1] > 0 else 0.0
    return (
        checked("rising", rising, "grows with λ", "falls somewhere before λ = 1"),
        checked(
            "open",
            slope >= _SMALLEST_SLOPE,
            f"still rises at λ = 1 with {slope:.0%} of its mean slope",
            f"has levelled off at λ = 1 ({slope:.0%} of its mean slope)",
        ),
    )


def peak_of(lambdas: Sequence[float], lifts: Sequence[float]) -> float:
    """The λ of the largest lift: the vertex of the parabola through it and its neighbours, or the end it stands at."""
    best = int(np.argmax(lifts))
    if best in (0, len(lambdas) - 1):
        return float(lambdas[best])
    near = slice(best - 1, best + 2)
    square, line, _ = np.polyfit(lambdas[near], lifts[near], 2)
    return float(-line / (2 * square)) if square < 0 else float(lambdas[best])


def scale_check(peak: float, largest: float) -> Check:
    """Whether λ = 1 is near the peak. A grid that ends at 1 cannot show that more would be better."""
    if largest <= 1.0 and peak >= largest:
        return Check("scale", True, f"rises up to λ = {largest:g}, the largest that was tried")
    if peak >= largest:
        text = f"the document's log-probability still rises at λ = {largest:g}: under-scaled, or trained short"
    elif peak <= _OVER_SCALED:
        text = f"the document's log-probability peaks at λ = {peak:.2f} already: over-scaled"
    else:
        text = f"peaks at λ = {peak:.2f}"
    return Check("scale", _OVER_SCALED < peak < largest, text)
