"""What changed from one result to another, as plain records. Knows shapes only; nothing here compares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sway_gguf.core.result import Diagnosis, Verdict


class Movement(StrEnum):
    """What became of a probe's value."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"  # it changed, and neither way is the better one
    WITHIN_NOISE = "within noise"
    UNDETECTED = "~"
    UNTESTED = "untested"  # values without items to pair


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One item in both results: its key and label, and both values."""

    key: str
    label: str
    old: float
    new: float

    @property
    def delta(self) -> float:
        """New less old."""
        return self.new - self.old


@dataclass(frozen=True, slots=True)
class ProbeChange:
    """One probe in both results.

    Attributes:
        name, kind, axis, unit: which probe.
        better: higher, lower, two-sided, or "" where no way is the better one.
        old_verdict, new_verdict: its verdicts.
        movement: what became of it, and `reason` why, in one line.
        old, new: values over the items in both; None where nothing was measured.
        old_interval, new_interval: 95%, of the runs.
        delta: new less old, and `interval` of it, 95%, over pairs.
        p, holm_p: two-sided, by itself and after Holm's correction over the probes; None where there is no test.
        floor: what rounding alone may make of the value, the larger of the two runs'.
        items: in both, those that changed for the worse most first, or those that changed most where no way is better.
        regressed: how many of these changed for the worse beyond the floor.
        shared: what the regressed items have in common and most others have not.
        only_old, only_new: labels of items in one result alone.
    """

    name: str
    kind: str
    axis: str
    unit: str
    better: str
    old_verdict: Verdict
    new_verdict: Verdict
    movement: Movement
    reason: str = ""
    old: float | None = None
    new: float | None = None
    old_interval: tuple[float, float] | None = None
    new_interval: tuple[float, float] | None = None
    delta: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    holm_p: float | None = None
    floor: float | None = None
    items: tuple[ItemChange, ...] = ()
    regressed: int = 0
    shared: tuple[str, ...] = ()
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AxisChange:
    """An axis in both results."""

    axis: str
    old: Verdict
    new: Verdict

    @property
    def regressed(self) -> bool:
        """Whether it fails now and did not before."""
        bad = (Verdict.FAIL, Verdict.ERROR)
        return self.new in bad and self.old not in bad


@dataclass(frozen=True, slots=True)
class Condition:
    """What differs between two runs beside what they found, in words."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one result to another.

    Attributes:
        old_name, new_name: of the results.
        old_diagnosis, new_diagnosis: theirs.
        alpha: level of the tests, over all probes.
        conditions: that differ.
        axes, probes: in the order of the old result.
        only_old, only_new: probes in one result alone.
    """

    old_name: str
    new_name: str
    old_diagnosis: Diagnosis
    new_diagnosis: Diagnosis
    alpha: float
    conditions: tuple[Condition, ...]
    axes: tuple[AxisChange, ...]
    probes: tuple[ProbeChange, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()

    @property
    def regressed(self) -> bool:
        """Whether a probe got worse beyond chance and noise, or an axis fails that did not."""
        return any(probe.movement == Movement.WORSE for probe in self.probes) or any(a.regressed for a in self.axes)
