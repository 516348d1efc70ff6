"""What a probe measures on one view, and the rule by which the tuned view's value is judged.

Knows the shapes of measurements and rules; does not judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["higher", "lower", "two-sided"]
Axis = Literal["applied", "signal", "direction", "collateral", "leakage", "survival"]
AXES: tuple[Axis, ...] = ("applied", "signal", "direction", "collateral", "leakage", "survival")

TRAINED, HELD_OUT, GAP = "trained", "held-out", "gap"
"""Names of parts: on the data, on text like it that was kept out of training, and the one less the other."""
BEYOND = {TRAINED: "trained, beyond other text", HELD_OUT: "held-out, beyond other text"}


@dataclass(frozen=True, slots=True)
class Item:
    """One unit that a probe averages over.

    Attributes:
        label: what it was, short enough for a report.
        value: in the probe's unit.
        detail: more numbers about it, for result.json.
        group: of a control, what sort of text it is; controls of one group are averaged together.
    """

    label: str
    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


def grouped(controls: Iterable[Item]) -> list[list[float]]:
    """Values, group by group."""
    groups: dict[str, list[float]] = {}
    for control in controls:
        groups.setdefault(control.group, []).append(control.value)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class Check:
    """A yes-or-no finding inside a measurement, with the words for how it came out.

    Attributes:
        name: of the check.
        passed: how it came out.
        text: what was found.
        fails: whether a miss fails the probe; otherwise it turns a PASS into a WARN.
    """

    name: str
    passed: bool
    text: str
    fails: bool = False


def checked(name: str, passed: bool, fine: str, wrong: str, *, fails: bool = False) -> Check:
    """A check with the words for how it came out."""
    return Check(name, bool(passed), fine if passed else wrong, fails)


@dataclass(frozen=True, slots=True)
class Part:
    """A further mean that stands beside a measurement's value, and gets an interval and nulls as that does.

    Attributes:
        name: unique in its measurement.
        values: [n], one per item.
        controls: groups of values; what the group that gained most gained is taken off.
        less: [m] values of other items, whose mean is taken off whatever its sign; in place of controls.
        instead: what to say where the value misses and this passes; the probe warns then. "" leaves it a miss.
    """

    name: str
    values: tuple[float, ...]
    controls: tuple[tuple[float, ...], ...] = ()
    less: tuple[float, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A probe's number for one view against the base.

    Attributes:
        value: in the probe's unit; for most probes the mean over `items`, less what `controls` gained.
        items: what was averaged, in the order asked.
        controls: items on other text, in groups, whose gain was taken off; empty where there are none.
        parts: further means that stand beside the value.
        checks: findings that decide probes without a null.
        interval: whether the value is a mean over items, so that resampling them gives its interval.
        undecided: why no verdict can be given whatever the value, or "".
        notes: sentences for the report.
        details: more numbers, for result.json.
        headline: what to say of the adapter where this fails, in place of the words for its axis; "" for those.
    """

    value: float
    items: tuple[Item, ...] = ()
    controls: tuple[Item, ...] = ()
    parts: tuple[Part, ...] = ()
    checks: tuple[Check, ...] = ()
    interval: bool = True
    undecided: str = ""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    headline: str = ""

    def control_groups(self) -> list[list[float]]:
        """Values of the controls, group by group."""
        return grouped(self.controls)


@dataclass(frozen=True, slots=True)
class AboveNull:
    """Pass when the value lies beyond zero and every null, and its p-values after correction allow it.

    Attributes:
        direction: which way is better.
        fails: whether a value among the nulls fails; otherwise it warns, for what an adapter need not do, and the
            axis is left to other probes.
    """

    direction: Direction = "higher"
    fails: bool = True


@dataclass(frozen=True, slots=True)
class AboveFloor:
    """Pass when the value exceeds the run's noise floor."""


@dataclass(frozen=True, slots=True)
class AboveTolerance:
    """Pass when the interval of the value lies above `tolerance`, fail when below, warn when across."""

    tolerance: float


@dataclass(frozen=True, slots=True)
class BelowTolerance:
    """Pass when the interval of the value lies below `tolerance`, fail when above, warn when across.

    Attributes:
        tolerance: in the probe's unit.
        fails: whether above fails; otherwise it warns, and the axis is left to other probes.
    """

    tolerance: float
    fails: bool = True


@dataclass(frozen=True, slots=True)
class AllChecks:
    """Pass when every check passed, warn otherwise."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Pass when every check passed; a missed one warns, or fails where it says so. Answers its axis."""


Rule = AboveNull | AboveFloor | AboveTolerance | BelowTolerance | AllChecks | Findings
