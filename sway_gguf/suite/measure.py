"""Runs a schedule on a backend and turns every view's answers into measurements at once.

Holds the base's answers and one view's; where a caller keeps the base's for another run, those of its rerun too. Tells
a model whose numbers are not finite from a probe that could not measure. Knows probes and views; judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from sway_gguf.collect import collect
from sway_gguf.core.answers import Answers
from sway_gguf.core.errors import EngineError, NonFiniteError, UserError
from sway_gguf.core.measurement import Check, Measurement
from sway_gguf.core.queries import Query
from sway_gguf.core.result import ProbeResult, Verdict
from sway_gguf.core.views import TUNED, NullView, ScaledView, View, is_rerun
from sway_gguf.engine.doors import DoorBackend, is_base
from sway_gguf.engine.protocol import NullCalibrationProxy
from sway_gguf.probes.base import Probe
from sway_gguf.probes.foreign import ForeignProbe
from sway_gguf.stats.noise import noise_limit
from sway_gguf.suite.abreast import Abreast
from sway_gguf.suite.schedule import Schedule, Visit
from sway_gguf.verdict.reading import Reading

_NOTHING = Answers([])
OnProgress = Callable[[View, int], None]
"""Called with the view at work and the tokens evaluated since the last call."""
OnAnswers = Callable[[View, Answers], None]
"""Called with a view that was visited and its answers."""
BaseAnswers = dict[View, Answers]
"""What the base said, by its views: run as usual, and in another layout."""


@dataclass
class _Gathered:
    """What one probe has measured so far: by λ, over all λ, by the nulls' rank scale; λ where the model overflowed."""

    curve: dict[float, Measurement] = field(default_factory=dict)
    nulls: dict[float, list[Measurement]] = field(default_factory=dict)
    floor: float | None = None
    tuned: Measurement = field(default_factory=lambda: Measurement(0.0))
    overflowed: list[float] = field(default_factory=list)
    failed: str = ""


class Measured(NamedTuple):
    """One reading per probe that could measure, and a result for each that could not."""

    readings: list[Reading]
    failed: list[ProbeResult]


def measure(
    backend: DoorBackend | None,
    probes: Sequence[Probe[Any]],
    plan: Schedule,
    on_progress: OnProgress | None = None,
    rank_scale: float = 1.0,
    nulls: Sequence[NullView] = (),
    on_answers: OnAnswers | None = None,
    base_answers: BaseAnswers | None = None,
) -> Measured:
    """Visit every view of `plan` once.

    Args:
        backend: may be None where the plan visits nothing.
        probes: in the plan's order.
        plan: what to visit.
        on_progress: called as tokens are evaluated.
        rank_scale: of the nulls that calibrate; those of other scales go into the profile.
        nulls: for probes that measure on a backend themselves.
        on_answers: called with each view's answers while they are there.
        base_answers: of the same loaded base. What stands there is not asked again; what is asked is added.

    Raises:
        NonFiniteError: base, tuned model or a null gave a NaN or an infinity. At another λ that is a finding.
    """
    gathered = [_Gathered() for _ in probes]
    for probe, found in zip(probes, gathered, strict=True):
        if probe.static:
            _note(probe, found, TUNED, partial(probe.measure, _NOTHING, _NOTHING))
    if plan.visits:
        assert backend is not None
        _visit(backend, probes, plan, gathered, on_progress, on_answers or _unheard, base_answers)
    for probe, found in zip(probes, gathered, strict=True):
        if isinstance(probe, ForeignProbe):
            assert backend is not None
            _run_foreign(backend, probe, found, nulls)
    for probe, found in zip(probes, gathered, strict=True):
        _note(probe, found, None, partial(_over_scales, probe, found))
    pairs = list(zip(probes, gathered, strict=True))
    return Measured(
        [_reading(probe, found, rank_scale) for probe, found in pairs if not found.failed],
        [probe.result(Verdict.ERROR, found.failed) for probe, found in pairs if found.failed],
    )


def _run_foreign(backend: DoorBackend, probe: ForeignProbe, found: _Gathered, nulls: Sequence[NullView]) -> None:
    _note(probe, found, TUNED, partial(probe.run_on, backend.original))
    for view in nulls:
        proxy = NullCalibrationProxy(
            backend.original,
            seed=view.seed,
            init_scale=view.design.init_scale,
            rank_scale=view.design.rank_scale,
            design=view.design.design,
            energy=view.design.energy,
        )
        _note(probe, found, view, partial(probe.run_on, proxy))


def _visit(
    backend: DoorBackend,
    probes: Sequence[Probe[Any]],
    plan: Schedule,
    gathered: Sequence[_Gathered],
    on_progress: OnProgress | None,
    on_answers: OnAnswers,
    kept: BaseAnswers | None,
) -> None:
    first, *others = plan.visits
    base = _collect(backend, first, probes, None, on_progress, kept)
    on_answers(first.view, base)

    def answer(twin: DoorBackend, visit: Visit) -> Answers:
        return _collect(twin, visit, probes, base, on_progress, kept)

    with Abreast(backend) as abreast:
        for visit, answers in abreast.each(others, answer):
            if isinstance(answers, NonFiniteError):
                if not isinstance(visit.view, ScaledView) or visit.view == TUNED:
                    raise answers
                for place in visit.probes:
                    gathered[place].overflowed.append(visit.view.scale)
                continue
            on_answers(visit.view, answers)
            for place in visit.probes:
                probe = probes[place]
                if not is_rerun(visit.view) or backend.shows_noise(probe.ask()):
                    _note(probe, gathered[place], visit.view, partial(probe.measure, base, answers))


def _unheard(view: View, answers: Answers) -> None:
    """Answers that nobody else wants."""


def _collect(
    backend: DoorBackend,
    visit: Visit,
    probes: Sequence[Probe[Any]],
    base: Answers | None,
    on_progress: OnProgress | None,
    kept: BaseAnswers | None,
) -> Answers:
    """Answers of one view; for the base itself, `base` is None and its own answers lead its follow-ups."""

    def progress(tokens: int) -> None:
        if on_progress:
            on_progress(visit.view, tokens)

    def follow_up(own: Answers) -> dict[Hashable, Sequence[Query]]:
        return {place: probes[place].follow_up(base or own, own) for place in visit.probes}

    if kept is None or not is_base(visit.view):
        return collect(backend, visit.view, visit.groups, progress, follow_up)
    known = kept.get(visit.view, _NOTHING)
    found = collect(backend, visit.view, visit.groups, progress, follow_up, known)
    kept[visit.view] = known.merged(found)
    return found


def _note(probe: Probe[Any], found: _Gathered, view: View | None, measure_it: Callable[[], Measurement]) -> None:
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
        _keep(probe, found, view, measurement)


def _finite(measurement: Measurement) -> bool:
    items = (*measurement.items, *measurement.controls)
    return all(map(math.isfinite, (measurement.value, *(item.value for item in items))))


def _keep(probe: Probe[Any], found: _Gathered, view: View | None, measurement: Measurement) -> None:
    if view is None:
        found.tuned = measurement
    elif is_rerun(view):
        found.floor = _noise(measurement)
    elif isinstance(view, ScaledView):
        found.curve[view.scale] = measurement
    elif isinstance(view, NullView) and not (isinstance(probe, ForeignProbe) and measurement.undecided):
        found.nulls.setdefault(view.design.rank_scale, []).append(measurement)


def _noise(measurement: Measurement) -> float:
    """How large the value may be where there is nothing but rounding."""
    if not measurement.interval:
        return abs(measurement.value)
    items, controls = ([item.value for item in group] for group in (measurement.items, measurement.controls))
    return noise_limit(measurement.value, items, controls)


def _over_scales(probe: Probe[Any], found: _Gathered) -> Measurement:
    """One measurement from those at each λ; that the model overflows at one of them is a finding."""
    measurement: Measurement = probe.over_scales(found.curve)
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


def _reading(probe: Probe[Any], found: _Gathered, rank_scale: float) -> Reading:
    return Reading(
        name=probe.options.name,
        kind=probe.kind,
        axis=probe.axis,
        unit=probe.unit,
        rule=probe.rule,
        tuned=_remarked(probe, found.tuned),
        nulls=tuple(found.nulls.get(rank_scale, ())),
        profile={scale: tuple(nulls) for scale, nulls in found.nulls.items() if scale != rank_scale},
        floor=found.floor,
        question=probe.question,
        passing=probe.passing,
        caveat=probe.caveat,
    )
