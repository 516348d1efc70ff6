"""Whether a run came out as one before it. Knows results; runs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sway_gguf.core.comparison import ProbeChange
from sway_gguf.core.result import SuiteResult
from sway_gguf.verdict.changes import changes

_ROUNDING = 1e-6
"""Relative; values without a noise floor are printed and added up in another order elsewhere."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that came out otherwise.

    Attributes:
        name: of the probe, or what else it is of.
        what: that differs.
        expected, found: in words, or as numbers in the probe's unit.
        floor: what rounding alone may make of the number; None where it is no number or has no floor.
    """

    name: str
    what: str
    expected: str | float | None
    found: str | float | None
    floor: float | None = None


def differences(expected: SuiteResult, found: SuiteResult) -> tuple[Difference, ...]:
    """All that differs by more than the larger noise floor of the two runs; () where the run was reproduced."""
    told = []
    if expected.diagnosis != found.diagnosis:
        told.append(Difference("run", "diagnosis", expected.diagnosis, found.diagnosis))
    both = changes(expected, found)
    told += [difference for change in both if (difference := _of_probe(change))]
    shared = {(change.name, change.kind) for change in both}
    for result, sides in ((expected, ("there", "missing")), (found, ("missing", "there"))):
        alone = [probe.name for probe in result.probes if (probe.name, probe.kind) not in shared]
        told += [Difference(name, "probe", *sides) for name in alone]
    return tuple(told)


def _of_probe(change: ProbeChange) -> Difference | None:
    """What differs first: the items, the value, the verdict."""
    if change.only_old or change.only_new:
        alone = len(change.only_old), len(change.only_new)
        return Difference(change.name, "items", f"{alone[0]} of its own", f"{alone[1]} of its own")
    if not _agree(change.old, change.new, change.floor):
        return Difference(change.name, "value", change.old, change.new, change.floor)
    if change.old_verdict != change.new_verdict:
        return Difference(change.name, "verdict", change.old_verdict, change.new_verdict)
    return None


def _agree(old: float | None, new: float | None, floor: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(new - old) <= (floor or 0.0) or math.isclose(old, new, rel_tol=_ROUNDING, abs_tol=1e-12)
