"""What a probe measures on one view, and the rule by which the tuned view's value is judged.

Knows the shapes of measurements and rules; does not judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["higher", "lower", "two-sided"]
Axis = Literal["applied", "signal", "direction", "collateral", "leakage", "survival"]
AXES: tuple[Axis, ...] = ("applied", "signal", "direction", "collateral", "leakage", "survival")


@dataclass(frozen=True, slots=True)
class Item:
    """One unit that a probe averages over.

    Attributes:
        label: what it was, short enough for a report.
        value: in the probe's unit.
        detail: more numbers about it, for result.json.
    """

    label: str
    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A yes-or-no finding inside a measurement, with the words for it."""

    name: str
    passed: bool
    text: str


def checked(name: str, passed: bool, fine: str, wrong: str) -> Check:
    """A check with the words for how it came out."""
    return Check(name, passed, fine if passed else wrong)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A probe's number for one view against the base.

    Attributes:
        value: in the probe's unit; for most probes the mean over `items`, less the mean over `controls`.
        items: what was averaged, in the order asked.
        controls: items on unrelated text whose mean was taken off; empty where there are none.
        checks: findings that decide probes without a null.
        interval: whether the value is a mean over items, so that resampling them gives its interval.
        undecided: why no verdict can be given whatever the value, or "".
        notes: sentences for the report.
        details: more numbers, for result.json.
    """

    value: float
    items: tuple[Item, ...] = ()
    controls: tuple[Item, ...] = ()
    checks: tuple[Check, ...] = ()
    interval: bool = True
    undecided: str = ""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AboveNull:
    """Pass when the value beats every null and its corrected tail p is below alpha.

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


Rule = AboveNull | AboveFloor | AboveTolerance | BelowTolerance | AllChecks
