"""What a run would do, as plain records. Knows counts of queries and tokens, and a speed; plans nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One probe of a plan.

    Attributes:
        name, axis: which.
        queries: distinct ones, of one view.
        tokens: to evaluate over all views; what others ask for as well counts for each.
        skipped: why it will not run, or "".
    """

    name: str
    axis: str
    queries: int = 0
    tokens: int = 0
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a base's tokens are evaluated on this machine.

    Attributes:
        rate: tokens per second over a whole run.
        guessed: from another base's speed and both sizes; False where it was measured on this base.
    """

    rate: float
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        named: what takes part, by role: base, adapter, format.
        probes: those that will run, then those that will not.
        shown: queries and tokens for what is shown alone; None where nothing is.
        views: that are visited.
        queries: distinct ones.
        tokens: to evaluate, by kind of view.
        remarks: on the spec and on what the context does not hold.
        least: tokens, where the first look at the nulls decides and no damage is found.
        speed: at which the last run went; None where nothing is known.
    """

    named: Mapping[str, str]
    probes: tuple[PlannedProbe, ...]
    shown: tuple[int, int] | None
    views: int
    queries: int
    tokens: Mapping[str, int]
    remarks: tuple[str, ...] = ()
    least: int = 0
    speed: Speed | None = None

    @property
    def seconds(self) -> float | None:
        """That its shortest form will take, about; None where no speed is known."""
        return None if self.speed is None else self.least / self.speed.rate
