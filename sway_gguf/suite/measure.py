"""Runs a schedule on a backend and turns every view's answers into measurements at once.

Holds the base's answers and one view's, never more. Knows probes and views; judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sway_gguf.collect import collect
from sway_gguf.core.answers import Answers
from sway_gguf.core.errors import NonFiniteError
from sway_gguf.core.measurement import Measurement
from sway_gguf.core.queries import Query
from sway_gguf.core.views import BASE_RERUN, BaseView, NullView, ScaledView, View
from sway_gguf.engine.protocol import Backend, NullBackend, NullCalibrationProxy
from sway_gguf.probes.base import Probe
from sway_gguf.probes.foreign import ForeignProbe
from sway_gguf.suite.schedule import Schedule, Visit
from sway_gguf.verdict.reading import Reading

_NOTHING = Answers([])
OnProgress = Callable[[View, int], None]
"""Called with the view at work and the tokens evaluated since the last call."""


@dataclass
class _Gathered:
    """What one probe has measured so far: by λ, and by the nulls' rank scale."""

    curve: dict[float, Measurement] = field(default_factory=dict)
    nulls: dict[float, list[Measurement]] = field(default_factory=dict)
    floor: float | None = None


def measure(
    backend: Backend | None,
    probes: Sequence[Probe[Any]],
    plan: Schedule,
    on_progress: OnProgress | None = None,
    rank_scale: float = 1.0,
    nulls: Sequence[NullView] = (),
) -> list[Reading]:
    """Visit every view of `plan` once; returns one reading per probe.

    Args:
        backend: may be None where the plan visits nothing.
        probes: in the plan's order.
        plan: what to visit.
        on_progress: called as tokens are evaluated.
        rank_scale: of the nulls that calibrate; those of other scales go into the profile.
        nulls: for probes that measure on a backend themselves.

    Raises:
        NonFiniteError: a view gave a NaN or an infinity.
    """
    gathered = [_Gathered() for _ in probes]
    for probe, found in zip(probes, gathered, strict=True):
        if probe.static:
            found.curve[1.0] = probe.measure(_NOTHING, _NOTHING)
    if plan.visits:
        assert backend is not None
        _visit(backend, probes, plan, gathered, on_progress)
    for probe, found in zip(probes, gathered, strict=True):
        if isinstance(probe, ForeignProbe):
            assert isinstance(backend, NullBackend)
            _run_foreign(backend, probe, found, nulls)
    return [_reading(probe, found, rank_scale) for probe, found in zip(probes, gathered, strict=True)]


def _run_foreign(backend: NullBackend, probe: ForeignProbe, found: _Gathered, nulls: Sequence[NullView]) -> None:
    found.curve[1.0] = probe.run_on(backend)
    for view in nulls:
        proxy = NullCalibrationProxy(
            backend,
            seed=view.seed,
            init_scale=view.design.init_scale,
            rank_scale=view.design.rank_scale,
            design=view.design.design,
            energy=view.design.energy,
        )
        measurement = probe.run_on(proxy)
        if not measurement.undecided:
            found.nulls.setdefault(view.design.rank_scale, []).append(measurement)


def _visit(
    backend: Backend,
    probes: Sequence[Probe[Any]],
    plan: Schedule,
    gathered: Sequence[_Gathered],
    on_progress: OnProgress | None,
) -> None:
    first, *others = plan.visits
    base = _collect(backend, first, probes, None, on_progress)
    for visit in others:
        answers = _collect(backend, visit, probes, base, on_progress)
        for place in visit.probes:
            _keep(gathered[place], visit.view, _measured(probes[place], base, answers, visit.view))


def _collect(
    backend: Backend, visit: Visit, probes: Sequence[Probe[Any]], base: Answers | None, on_progress: OnProgress | None
) -> Answers:
    """Answers of one view; for the base itself, `base` is None and its own answers lead its follow-ups."""

    def progress(tokens: int) -> None:
        if on_progress:
            on_progress(visit.view, tokens)

    def follow_up(own: Answers) -> dict[Hashable, Sequence[Query]]:
        return {place: probes[place].follow_up(base or own, own) for place in visit.probes}

    return collect(backend, visit.view, visit.units, progress, follow_up)


def _measured(probe: Probe[Any], base: Answers, other: Answers, view: View) -> Measurement:
    try:
        return probe.measure(base, other)
    except ValueError as error:
        raise NonFiniteError(str(view), f"probe {probe.options.name} ({error})") from error


def _keep(found: _Gathered, view: View, measurement: Measurement) -> None:
    if view == BASE_RERUN:
        found.floor = abs(measurement.value)
    elif isinstance(view, ScaledView):
        found.curve[view.scale] = measurement
    elif isinstance(view, NullView):
        found.nulls.setdefault(view.design.rank_scale, []).append(measurement)
    else:
        assert isinstance(view, BaseView)


def _remarked(probe: Probe[Any], measurement: Measurement) -> Measurement:
    if probe.options.picked_on and probe.options.picked_on == probe.sources.adapter_hash:
        why = "its items were picked by looking at this very adapter; they test the next one"
        measurement = replace(measurement, undecided=measurement.undecided or why)
    return replace(measurement, notes=(*measurement.notes, *probe.remarks))


def _reading(probe: Probe[Any], found: _Gathered, rank_scale: float) -> Reading:
    return Reading(
        name=probe.options.name,
        kind=probe.kind,
        axis=probe.axis,
        unit=probe.unit,
        rule=probe.rule,
        tuned=_remarked(probe, probe.over_scales(found.curve)),
        nulls=tuple(found.nulls.get(rank_scale, ())),
        profile={scale: tuple(nulls) for scale, nulls in found.nulls.items() if scale != rank_scale},
        floor=found.floor,
    )
