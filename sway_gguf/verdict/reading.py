"""What was measured for one probe, and what the run makes of it. Holds records; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sway_gguf.core.measurement import Measurement
from sway_gguf.core.result import PartResult
from sway_gguf.core.rules import Rule
from sway_gguf.stats.calibration import Calibration
from sway_gguf.stats.contrast import gain_of
from sway_gguf.stats.interval import Interval


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was measured for one probe.

    Attributes:
        name, kind, axis, unit: which probe.
        rule: how it is judged.
        tuned: measured on the real adapter.
        panel: the same on the panel that nulls answer; None where they answer everything.
        part: the same on the part of the panel that the nulls of the first look answer.
        early: measured on those nulls.
        nulls: measured on nulls, in the order of their seeds.
        profile: measured on nulls of other ranks, by rank scale; shown, never the gate.
        floor: |value| of base against base in another batch layout; None where there is none to measure.
        question, passing, caveat: what the probe asks, what a PASS means and does not mean.
    """

    name: str
    kind: str
    axis: str
    unit: str
    rule: Rule
    tuned: Measurement
    nulls: tuple[Measurement, ...]
    floor: float | None
    profile: Mapping[float, tuple[Measurement, ...]] = field(default_factory=dict)
    question: str = ""
    passing: str = ""
    caveat: str = ""
    panel: Measurement | None = None
    part: Measurement | None = None
    early: tuple[Measurement, ...] = ()

    @property
    def compared(self) -> Measurement:
        """What is held against the nulls."""
        return self.panel or self.tuned

    @property
    def at_first(self) -> Reading:
        """The same as the first look has it.

        Nulls are asked there about no other text. What it gained is taken off the adapter alone: a null's value is too
        high by what it would lose by that, never too low, so this is not to the adapter's advantage.
        """
        panel = self.part
        if panel is not None and not panel.controls and self.tuned.controls:
            panel = replace(panel, value=panel.value - float(gain_of(self.tuned.control_groups())))
        return replace(self, panel=panel, nulls=self.early)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reading with what the run makes of it.

    Attributes:
        reading: as measured.
        interval: over items; None where there are too few, or the value is no mean.
        calibration: among its nulls.
        corrected: the tail p after Holm's correction over the run, or over the first look where that settled it.
        family: the rank p over the run.
        alpha: family-wise level.
        parts: what stands beside the value, by itself.
        early: whether the first look settled it.
    """

    reading: Reading
    interval: Interval | None
    calibration: Calibration | None
    corrected: float | None
    family: float | None
    alpha: float
    parts: tuple[PartResult, ...] = ()
    early: bool = False

    @property
    def value(self) -> float:
        """Of the real adapter."""
        return self.reading.tuned.value
