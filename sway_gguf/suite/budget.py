"""Fits a run into a time: prices it on this machine, and cuts in a stated order.

First the null profile and example replies go, then items down to eight of each kind, then nulls down to five; every
cut is told in the report. Knows specs and prices; nothing of what a probe means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sway_gguf.core.errors import NonFiniteError
from sway_gguf.engine.doors import DoorBackend
from sway_gguf.spec.model import Spec
from sway_gguf.suite.pace import Clock, measured_pace
from sway_gguf.suite.prepare import Prepared

_ITEMS = (24, 16, 8)
_NULLS = (14, 9, 5)
TIMING = 0.1
"""Share of the budget that may go into timing."""
LEAST_TIMING = 1.0
"""Seconds of timing below which the slices are too short to tell anything."""


def fitted(
    prepared: Prepared, backend: DoorBackend, seconds: float, started: float, clock: Clock = time.perf_counter
) -> Prepared:
    """The run, cut until it ends about `seconds` after `started`, what the timing takes included.

    A base or an adapter that gives numbers which are not finite cannot be timed: its run is left as it is, and says so.

    Args:
        prepared: the run.
        backend: that will run it.
        seconds: the budget.
        started: when it began to count, on `clock`.
        clock: tells seconds.
    """
    try:
        pace = measured_pace(prepared, backend, max(LEAST_TIMING, seconds * TIMING), clock)
    except NonFiniteError:
        return prepared
    return within(prepared, seconds, pace.seconds_of, spent=clock() - started)


def within(prepared: Prepared, seconds: float, estimate: Callable[[Prepared], float], spent: float = 0.0) -> Prepared:
    """The run, cut until `estimate` fits into what is left of `seconds`; its spec carries a remark for every cut.

    A run that does not fit even so is left at its shortest, and the last remark says how long it will take.
    """
    told, needed = dict[str, str](), spent + estimate(prepared)
    for field, value, remark in _cuts(prepared.spec):
        if needed <= seconds:
            break
        told[field] = remark
        prepared = prepared.with_defaults(**{field: value})
        needed = spent + estimate(prepared)
    remarks = list(prepared.spec.remarks)
    if told:
        remarks.append(f"cut to keep to {seconds:g} s: {', '.join(told.values())}")
    if needed > seconds:
        remarks.append(f"nothing more can be cut: about {needed:.0f} s where {seconds:g} s were asked for")
    return prepared.with_remarks(tuple(remarks))


def _cuts(spec: Spec) -> Iterator[tuple[str, object, str]]:
    """(field of the defaults, its value, words) of the cuts that change something, in order."""
    if spec.defaults.null_profile:
        yield "null_profile", [], "nulls of other ranks dropped"
    if spec.defaults.show:
        yield "show", 0, "example replies dropped"
    for most in _ITEMS:
        if spec.defaults.items is None or spec.defaults.items > most:
            yield "items", most, f"at most {most} items of each kind"
    for nulls in _NULLS:
        if spec.defaults.nulls > nulls:
            yield "nulls", nulls, f"{nulls} nulls"
