"""Probes of damage: a mean change held against a tolerance, with a few nulls shown beside it."""

from __future__ import annotations

from typing import TypeVar

from sway_gguf.core.rules import AboveTolerance, Rule
from sway_gguf.probes.base import SHOWN_NULLS, Probe
from sway_gguf.spec.options import ProbeOptions


class ToleranceOptions(ProbeOptions):
    """Fields of a probe with a tolerance; each sets its own default."""

    tolerance: float


Tolerant = TypeVar("Tolerant", bound=ToleranceOptions)


class ToleranceProbe(Probe[Tolerant]):
    """A probe that the tolerance decides."""

    @property
    def rule(self) -> Rule:
        """Against the tolerance."""
        return AboveTolerance(self.options.tolerance)

    @property
    def nulls(self) -> int:
        """A few, to show what size alone costs."""
        return SHOWN_NULLS
