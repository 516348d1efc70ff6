"""The `gate:` section of a spec: what is asked of a run beside its verdicts. Knows fields; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sway_gguf.core.errors import UserError
from sway_gguf.core.gate import GateRules, Limits
from sway_gguf.core.measurement import AXES
from sway_gguf.core.strict import StrictModel
from sway_gguf.spec.options import nearest


class ProbeLimits(StrictModel):
    """What is wanted of one probe."""

    min: float | None = Field(default=None, description="smallest accepted value, in the probe's unit")
    max: float | None = Field(default=None, description="largest accepted value, in the probe's unit")
    informational: bool = Field(default=False, description="shown, and decides nothing")

    @model_validator(mode="after")
    def _ordered(self) -> ProbeLimits:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}; no value is between them")
        return self


class Gate(StrictModel):
    """What the gate asks."""

    require: list[str] = Field(default_factory=list, description="axes that must be answered")
    max_loss: float | None = Field(default=None, ge=0, description="largest loss on unrelated text, nats/token")
    min_lift: float | None = Field(default=None, ge=0, description="smallest lift of the material, nats/token")
    threshold: float | None = Field(default=None, ge=0, le=1, description="smallest composite score")
    baseline: Path | None = Field(default=None, description="a result.json that this run must not fall behind")
    strict: bool = Field(default=False, description="whether an inconclusive outcome stops a build")
    probes: dict[str, ProbeLimits] = Field(default_factory=dict, description="by the probe's name")


def rules_of(
    gate: Gate,
    suite: Sequence[Mapping[str, Any]] = (),
    *,
    require: str | None = None,
    max_loss: float | None = None,
    min_lift: float | None = None,
    threshold: float | None = None,
    strict: bool = False,
) -> GateRules:
    """What a gate asks: a spec's section, its entries' own `informational`, and what was given in their place.

    Args:
        gate: of the spec.
        suite: entries, whose names the limits must have.
        require: axes, separated by commas.
        max_loss, min_lift, threshold, strict: as in the section.

    Raises:
        UserError: an axis or a probe that there is not; the nearest valid name is said.
    """
    names = [str(entry.get("name", entry.get("kind"))) for entry in suite]
    for name in gate.probes:
        if name not in names:
            raise UserError(f"gate.probes: no entry of the suite is named {name!r}, {nearest(name, names)}")
    limits = {name: Limits(given.min, given.max, given.informational) for name, given in gate.probes.items()}
    for name, entry in zip(names, suite, strict=True):
        if entry.get("informational") is True:
            limits[name] = replace(limits.get(name, Limits()), informational=True)
    wanted = gate.require if require is None else [axis.strip() for axis in require.split(",") if axis.strip()]
    where = "gate.require" if require is None else "--require"
    for axis in wanted:
        if axis not in AXES:
            raise UserError(f"{where}: {axis!r} is no axis, {nearest(axis, AXES)}")
    return GateRules(
        require=tuple(wanted),
        max_loss=gate.max_loss if max_loss is None else max_loss,
        min_lift=gate.min_lift if min_lift is None else min_lift,
        threshold=gate.threshold if threshold is None else threshold,
        strict=gate.strict or strict,
        probes=limits,
    )
