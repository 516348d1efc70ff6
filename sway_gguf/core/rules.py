"""The rules by which a tuned view's value is judged: what each one asks of it. Knows what is wanted; judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Direction = Literal["higher", "lower", "two-sided"]
Better = Direction | Literal[""]
"""Which way of a value is better, for a comparison of runs; "" where a value alone says neither."""


class Rule:
    """How a value is judged.

    Attributes:
        by_nulls: whether nulls decide, so that it takes part in the correction over the run.
        decides: whether a PASS answers the axis; what only qualifies another probe's answer does not.
        optional: whether a miss warns and leaves the axis to other probes: what it looks for, an adapter need not do.
        floored: whether the noise floor takes part; only then is it measured.
        limit: what the value is held against, in the probe's unit; None where that is zero or nothing.
    """

    __slots__ = ()

    @property
    def by_nulls(self) -> bool:
        """Whether nulls decide."""
        return False

    @property
    def toward(self) -> Direction:
        """Which way is better, among nulls."""
        return "higher"

    @property
    def better(self) -> Better:
        """Which way of a value is better."""
        return self.toward

    @property
    def optional(self) -> bool:
        """Whether it leaves the axis alone."""
        return False

    @property
    def decides(self) -> bool:
        """Whether a PASS answers the axis."""
        return not self.optional

    @property
    def floored(self) -> bool:
        """Whether the noise floor takes part."""
        return True

    @property
    def limit(self) -> float | None:
        """What the value is held against."""
        return None


@dataclass(frozen=True, slots=True)
class AboveNull(Rule):
    """Pass when the value lies beyond zero and every null, and its p-values after correction allow it.

    Attributes:
        direction: which way is better.
        fails: whether a value among the nulls fails; otherwise it warns, for what an adapter need not do, and the
            axis is left to other probes.
    """

    direction: Direction = "higher"
    fails: bool = True
    by_nulls = True

    @property
    def toward(self) -> Direction:
        """As given."""
        return self.direction

    @property
    def optional(self) -> bool:
        """Where a miss does not fail."""
        return not self.fails


@dataclass(frozen=True, slots=True)
class AboveFloor(Rule):
    """Pass when the value exceeds the run's noise floor."""


@dataclass(frozen=True, slots=True)
class AboveTolerance(Rule):
    """Pass when the interval of the value lies above `tolerance`, fail when below, warn when across."""

    tolerance: float
    floored = False  # A tolerance is far above rounding.

    @property
    def limit(self) -> float | None:
        """The tolerance."""
        return self.tolerance


@dataclass(frozen=True, slots=True)
class BelowTolerance(Rule):
    """Pass when the interval of the value lies below `tolerance`, fail when above, warn when across.

    Attributes:
        tolerance: in the probe's unit.
        fails: whether above fails; otherwise it warns, and the axis is left to other probes.
    """

    tolerance: float
    fails: bool = True
    better: ClassVar[Better] = "lower"
    floored = False

    @property
    def limit(self) -> float | None:
        """The tolerance."""
        return self.tolerance

    @property
    def optional(self) -> bool:
        """Where a miss does not fail."""
        return not self.fails


@dataclass(frozen=True, slots=True)
class AllChecks(Rule):
    """Pass when every check passed, warn otherwise. The shape of a curve qualifies an effect that others have shown."""

    better: ClassVar[Better] = ""
    decides = False


@dataclass(frozen=True, slots=True)
class Findings(Rule):
    """Pass when every check passed; a missed one warns, or fails where it says so.

    Attributes:
        answers: whether a PASS answers the axis; otherwise it only qualifies another probe's answer.
    """

    answers: bool = True
    better: ClassVar[Better] = ""
    floored = False

    @property
    def decides(self) -> bool:
        """As given."""
        return self.answers


@dataclass(frozen=True, slots=True)
class Shown(Rule):
    """Nothing is judged: what was measured is there to be read, and the axis is left to other probes."""

    better: ClassVar[Better] = ""
    optional = True
    floored = False
