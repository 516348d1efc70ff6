"""What a probe measures on one view. Knows the shapes of measurements; judges nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sway_gguf.core.toll import Turned

Axis = Literal["applied", "signal", "direction", "collateral", "leakage", "survival"]
AXES: tuple[Axis, ...] = ("applied", "signal", "direction", "collateral", "leakage", "survival")

SIZES: tuple[Axis, ...] = ("applied", "signal")
"""Axes that ask whether there is an effect at all: a larger one is no better one."""

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
        asked: all that was asked, in full: prompt and text, or what else the probe puts to a view.
        key: digest of `asked`, or of the label where nothing was asked: the same item of two runs has one key.
        nulls: smallest and largest value of the nulls on this very item; None where none was visited.
    """

    label: str
    value: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    asked: tuple[str, ...] = ()
    key: str = ""
    nulls: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", digest_of(self.asked or (self.label,)))


def digest_of(words: Sequence[str]) -> str:
    """Sixteen hexadecimal digits for texts in their order; texts that are joined otherwise give other digits."""
    digest = hashlib.sha256()
    for each in words:
        data = each.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:16]


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
        within: as of a measurement.
        instead: what to say where the value misses and this passes; the probe warns then. "" leaves it a miss.
    """

    name: str
    values: tuple[float, ...]
    controls: tuple[tuple[float, ...], ...] = ()
    less: tuple[float, ...] = ()
    instead: str = ""
    within: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """How a value, and the material's log-probability, go with the adapter's scale λ.

    Attributes:
        scales: [n] λ, ascending from 0.
        values: [n] in the probe's unit.
        lifts: [n] change in mean log-probability per token of the material, nats; empty where there is none.
        peak: λ at which the lift is largest; None where there is none.
    """

    scales: tuple[float, ...]
    values: tuple[float, ...]
    lifts: tuple[float, ...] = ()
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table that stands beside a value: what it is of, and its numbers by column."""

    name: str
    cells: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers that stand beside a value.

    Attributes:
        columns: what each number of a row is, with its unit.
        rows: one or more.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A probe's number for one view against the base.

    Attributes:
        value: in the probe's unit; for most probes the mean over `items`, less what `controls` gained.
        items: what was averaged, in the order asked.
        controls: items on other text, in groups, whose gain was taken off; empty where there are none.
        parts: further means that stand beside the value.
        checks: findings that decide probes without a null.
        interval: whether the value is a mean over items, so that their scatter gives its interval.
        undecided: why no verdict can be given whatever the value, or "".
        notes: sentences for the report.
        details: more numbers, for result.json alone; nothing reads them by name.
        headline: what to say of the adapter where this fails, in place of the words for its axis; "" for those.
        lift: change in mean log-probability per token of the material, for a curve over λ; None where not asked.
        curve: how it goes with λ, where several were visited.
        table: numbers beside the value.
        of_text: whether the value is the mean change in log-probability per token of running text, nats.
        through_template: whether all items were asked through a chat template, so that a wrong one spoils them.
        turned: how many items came out on the other side; None where none has sides.
        within: the least and the most that an item can be, where items are shares or scores of few steps, which may all
            be equal by chance; None elsewhere.
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
    lift: float | None = None
    curve: Curve | None = None
    table: Table | None = None
    of_text: bool = False
    through_template: bool = False
    turned: Turned | None = None
    within: tuple[float, float] | None = None

    def control_groups(self) -> list[list[float]]:
        """Values of the controls, group by group."""
        return grouped(self.controls)
