"""The rules by which a tuned view's value is judged: what each one asks of it. Knows what is wanted; judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "two-sided"]


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
    def better(self) -> Direction | Literal[""]:
        """Which way of a value is better, for a comparison of runs; "" where a value alone says neither."""
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

    @property
    def by_nulls(self) -> bool:
        """They do."""
        return True

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

    @property
    def floored(self) -> bool:
        """A tolerance is far above rounding."""
        return False

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

    @property
    def better(self) -> Direction | Literal[""]:
        """Less is."""
        return "lower"

    @property
    def floored(self) -> bool:
        """A tolerance is far above rounding."""
        return False

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

    @property
    def better(self) -> Direction | Literal[""]:
        """Checks decide, not the value."""
        return ""

    @property
    def decides(self) -> bool:
        """It answers no axis."""
        return False


@dataclass(frozen=True, slots=True)
class Findings(Rule):
    """Pass when every check passed; a missed one warns, or fails where it says so.

    Attributes:
        answers: whether a PASS answers the axis; otherwise it only qualifies another probe's answer.
    """

    answers: bool = True

    @property
    def decides(self) -> bool:
        """As given."""
        return self.answers

    @property
    def better(self) -> Direction | Literal[""]:
        """Checks decide, not the value."""
        return ""

    @property
    def floored(self) -> bool:
        """Checks decide."""
        return False


@dataclass(frozen=True, slots=True)
class Shown(Rule):
    """Nothing is judged: what was measured is there to be read, and the axis is left to other probes."""

    @property
    def better(self) -> Direction | Literal[""]:
        """Neither way."""
        return ""

    @property
    def optional(self) -> bool:
        """It leaves the axis alone."""
        return True

    @property
    def floored(self) -> bool:
        """No verdict hangs on it."""
        return False
