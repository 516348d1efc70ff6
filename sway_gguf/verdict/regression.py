"""Whether a run got worse than an earlier one, probe by probe, paired by item. Knows results; draws nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sway_gguf.core.comparison import Movement, ProbeChange
from sway_gguf.core.gate import GateLine, Outcome
from sway_gguf.core.result import SuiteResult
from sway_gguf.stats.paired import least_p
from sway_gguf.verdict.changes import changes

_SIGNS = {"higher": 1.0, "lower": -1.0}


def regressions(old: SuiteResult, new: SuiteResult, informational: Collection[str] = ()) -> list[GateLine]:
    """A line per probe that both runs measured over the same items, and that has a better way.

    A probe fails where it got worse beyond the noise floor and by more than chance after Holm's correction over all of
    them. Where it got worse over items that are too few to show anything, it is INCONCLUSIVE. So it is where most of
    the baseline's items were not asked again, and where no probe has a better way: hardly anything was held against
    it. Where no item of the one stands in the other, nothing was, and that fails.
    """
    tested = [change for change in changes(old, new) if change.p is not None]
    if not tested:
        return [GateLine("baseline", Outcome.FAIL, "no item in common; give a result of the same suite and texts")]
    lines = [_line(change, new.alpha) for change in tested if change.better in _SIGNS]
    if not lines:
        lines = [GateLine("baseline", Outcome.INCONCLUSIVE, "no probe of both runs has a way that is the better one")]
    lines += _gone(old, new)
    return [
        GateLine(line.subject, line.outcome, line.reason, line.subject.removeprefix("baseline, ") in informational)
        for line in lines
    ]


def _line(change: ProbeChange, alpha: float) -> GateLine:
    subject, count = f"baseline, {change.name}", len(change.items)
    said = (
        f"{change.delta:+.3g} {change.unit}".rstrip() + f" over {count} items, p {change.holm_p:.2g} after correction"
    )
    if change.movement == Movement.WORSE:
        return GateLine(subject, Outcome.FAIL, f"got worse: {said}")
    if change.movement == Movement.UNDETECTED and _may_have_suffered(change, alpha):
        few = f"looks worse, and {count} items are too few to tell this from chance: {said}"
        return GateLine(subject, Outcome.INCONCLUSIVE, few)
    if len(change.only_old) > count:
        reason = f"only {count} of the baseline's {count + len(change.only_old)} items were asked again: {said}"
        return GateLine(subject, Outcome.INCONCLUSIVE, reason)
    return GateLine(subject, Outcome.PASS, f"{change.reason}: {said}")


def _may_have_suffered(change: ProbeChange, alpha: float) -> bool:
    """Worse beyond the floor, over items that could show nothing, or of which each one got worse."""
    sign = _SIGNS[change.better]
    moves = [sign * item.delta for item in change.items]
    worse = sign * (change.delta or 0.0) < -(change.floor or 0.0)
    return worse and (least_p(len(moves)) >= alpha or max(moves) < 0)


def _gone(old: SuiteResult, new: SuiteResult) -> Iterator[GateLine]:
    """What the baseline measured and this run did not."""
    measured = {probe.name for probe in new.probes if probe.value is not None}
    for probe in old.probes:
        if probe.value is not None and probe.name not in measured:
            reason = "measured in the baseline, and not in this run"
            yield GateLine(f"baseline, {probe.name}", Outcome.INCONCLUSIVE, reason)
