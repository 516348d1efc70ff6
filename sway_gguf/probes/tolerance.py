"""Probes of damage: a mean change held against a tolerance, with a few nulls shown beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from sway_gguf.core.measurement import Item
from sway_gguf.core.rules import AboveTolerance, Rule
from sway_gguf.core.toll import Turned
from sway_gguf.probes.base import Probe
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

    def beyond_tolerance(self, items: Sequence[Item], what: str) -> Turned:
        """How many items lost more by themselves than their mean may lose; `what` they are, in the plural."""
        lost = sum(item.value < self.options.tolerance for item in items)
        return counted(lost, len(items), f"{what} lost more than the tolerance")


def counted(count: int, of: int, what: str, verb: str = "") -> Turned:
    """So many of so many, with the words for them and their share, as in "forgot 2 of 8 facts (25%)"."""
    words = f"{count or 'none'} of {of} {what}"
    share = f" ({count / of:.0%})" if count else ""
    return Turned(count, of, f"{verb} {words}{share}".lstrip())
