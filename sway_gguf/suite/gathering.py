"""What one probe has measured so far, view by view, and the reading that it comes to.

Tells a model whose numbers are not finite from a probe that could not measure. Knows probes and views; visits nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.measurement import Check, Measurement
from sway_gguf.core.views import MemberView, NullView, ScaledView, View, is_rerun
from sway_gguf.probes.base import Probe
from sway_gguf.probes.foreign import ForeignProbe
from sway_gguf.stats.noise import noise_limit
from sway_gguf.suite.standing import Standing
from sway_gguf.verdict.reading import Reading


@dataclass
class Gathered:
    """What one probe has measured so far.

    Attributes:
        curve: by λ.
        alone: of each adapter of a set alone, by its place.
        panels: of the tuned view, on the panel and the part of it.
        early: of the nulls at the first look.
        nulls: of the others, by rank scale.
        floor: what rounding may do.
        tuned: over all λ.
        overflowed: λ where the model gave no numbers.
        failed: why it could not measure.
    """

    curve: dict[float, Measurement] = field(default_factory=dict)
    alone: dict[int, Measurement] = field(default_factory=dict)
    panels: dict[Standing, Measurement] = field(default_factory=dict)
    early: list[Measurement] = field(default_factory=list)
    nulls: dict[float, list[Measurement]] = field(default_factory=dict)
    floor: float | None = None
    tuned: Measurement = field(default_factory=lambda: Measurement(0.0))
    overflowed: list[float] = field(default_factory=list)
    failed: str = ""


def note(
    probe: Probe[Any],
    found: Gathered,
    view: View | None,
    measure_it: Callable[[], Measurement],
    standing: Standing = Standing.WHOLE,
) -> None:
    """Measure on a view, or over all of them, and keep it; a probe that could not measure once is left alone.

    An error of a probe of ours that is none of arithmetic is a bug and goes up; a foreign one may do as it likes.
    """
    if found.failed:
        return
    try:
        measurement = measure_it()
        if not _finite(measurement):
            raise ValueError("its value is not finite, though every number of the model is")
    except (NonFiniteError, UserError, EngineError):
        raise
    except Exception as error:
        if not isinstance(error, ArithmeticError | ValueError) and not isinstance(probe, ForeignProbe):
            raise
        found.failed = (
            f"it could not measure{f' on the {view} view' if view else ''}: {str(error) or type(error).__name__}"
        )
    else:
        _keep(probe, found, view, measurement, standing)


def _finite(measurement: Measurement) -> bool:
    items = (*measurement.items, *measurement.controls)
    return all(map(math.isfinite, (measurement.value, *(item.value for item in items))))


def _keep(probe: Probe[Any], found: Gathered, view: View | None, measurement: Measurement, standing: Standing) -> None:
    if view is None:
        found.tuned = measurement
    elif is_rerun(view):
        found.floor = _noise(measurement)
    elif isinstance(view, ScaledView) and standing != Standing.WHOLE:
        found.panels[standing] = measurement
    elif isinstance(view, ScaledView):
        found.curve[view.scale] = measurement
    elif isinstance(view, MemberView):
        found.alone[view.place] = measurement
    elif standing == Standing.PART:
        found.early.append(measurement)
    elif isinstance(view, NullView) and not (isinstance(probe, ForeignProbe) and measurement.undecided):
        found.nulls.setdefault(view.design.rank_scale, []).append(measurement)


def _noise(measurement: Measurement) -> float:
    """How large the value may be where there is nothing but rounding."""
    if not measurement.interval:
        return abs(measurement.value)
    items, controls = ([item.value for item in group] for group in (measurement.items, measurement.controls))
    return noise_limit(measurement.value, items, controls)


def over_views(probe: Probe[Any], found: Gathered) -> Measurement:
    """One measurement from those at each λ and of each adapter alone; that the model overflows at a λ is a finding."""
    measurement: Measurement = probe.over_scales(found.curve)
    if found.alone:
        measurement = probe.over_members(measurement, found.alone)
    if not found.overflowed:
        return measurement
    where = ", ".join(f"{scale:g}" for scale in sorted(found.overflowed))
    check = Check("finite", False, f"the model gives numbers that are not finite at λ = {where}")
    return replace(measurement, checks=(*measurement.checks, check))


def _remarked(probe: Probe[Any], measurement: Measurement) -> Measurement:
    if probe.options.picked_on and probe.options.picked_on == probe.sources.adapter_hash:
        why = "its items were picked by looking at this very adapter; they test the next one"
        measurement = replace(measurement, undecided=measurement.undecided or why)
    return replace(measurement, notes=(*measurement.notes, *probe.remarks))


def reading_of(probe: Probe[Any], found: Gathered, rank_scale: float) -> Reading:
    """All that was measured for a probe; nulls of other rank scales go into its profile."""
    return Reading(
        name=probe.options.name,
        kind=probe.kind,
        axis=probe.axis,
        unit=probe.unit,
        rule=probe.rule,
        tuned=_remarked(probe, found.tuned),
        panel=found.panels.get(Standing.PANEL),
        part=found.panels.get(Standing.PART),
        early=tuple(found.early),
        nulls=tuple(found.nulls.get(rank_scale, ())),
        profile={scale: tuple(nulls) for scale, nulls in found.nulls.items() if scale != rank_scale},
        floor=found.floor,
        question=probe.question,
        passing=probe.passing,
        caveat=probe.caveat,
    )
