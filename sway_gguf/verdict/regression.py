"""Whether a run got worse than an earlier one, probe by probe, paired by item. Knows results; draws nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sway_gguf.core.gate import GateLine, Outcome
from sway_gguf.core.result import ProbeResult, SuiteResult
from sway_gguf.stats.bootstrap import MIN_ITEMS
from sway_gguf.stats.holm import holm
from sway_gguf.stats.paired import below_zero_p, smallest_p

_SIGNS = {"higher": 1.0, "lower": -1.0}


class _Pair(NamedTuple):
    """One probe in both runs; differences are new less old, turned so that better is positive."""

    name: str
    unit: str
    differences: tuple[float, ...]
    change: float
    floor: float


def regressions(old: SuiteResult, new: SuiteResult, informational: Collection[str] = ()) -> list[GateLine]:
    """A line per probe that both runs measured over the same items.

    A probe fails where its items got worse by more than chance after Holm's correction over all of them, and its value
    did by more than the noise floor of either run. What got worse so far, and has too few items to tell, is
    INCONCLUSIVE. Where no item of the one stands in the other, nothing was held against the baseline, which fails.
    """
    before = {probe.name: probe for probe in old.probes}
    pairs = [found for probe in new.probes if (found := _pair(before.get(probe.name), probe)) is not None]
    if not pairs:
        return [GateLine("baseline", Outcome.FAIL, "no item in common; give a result of the same suite and texts")]
    tested = [pair for pair in pairs if len(pair.differences) >= MIN_ITEMS]
    corrected = holm([below_zero_p(pair.differences, seed=new.seed) for pair in tested])
    p_values = {pair.name: p for pair, p in zip(tested, corrected, strict=True)}
    lines = [_line(pair, p_values.get(pair.name), len(tested), new.alpha, pair.name in informational) for pair in pairs]
    return lines + _gone(old, new)


def _line(pair: _Pair, p: float | None, tests: int, alpha: float, informational: bool) -> GateLine:
    subject, count = f"baseline, {pair.name}", len(pair.differences)
    said = f"{pair.change:+.3g} {pair.unit}".rstrip() + f" (better is up), {count} items"
    worse = pair.change < -pair.floor and sum(pair.differences) < 0
    if p is not None:
        said += f", p {p:.2g} after correction"
    if not worse:
        return GateLine(subject, Outcome.PASS, said, informational)
    if p is not None and p < alpha:
        return GateLine(subject, Outcome.FAIL, f"got worse: {said}", informational)
    if p is None or smallest_p(count) * tests >= alpha:
        return GateLine(
            subject, Outcome.INCONCLUSIVE, f"worse, with too few items to tell from chance: {said}", informational
        )
    return GateLine(subject, Outcome.PASS, f"no more than chance: {said}", informational)


def _pair(old: ProbeResult | None, new: ProbeResult) -> _Pair | None:
    sign = _SIGNS.get(new.better)
    if old is None or sign is None or old.kind != new.kind or old.value is None or new.value is None:
        return None
    before = {item.key: item.value for item in old.items}
    differences = tuple(sign * (item.value - before[item.key]) for item in new.items if item.key in before)
    if not differences:
        return None
    floor = max(old.noise_floor or 0.0, new.noise_floor or 0.0)
    return _Pair(new.name, new.unit, differences, sign * (new.value - old.value), floor)


def _gone(old: SuiteResult, new: SuiteResult) -> list[GateLine]:
    """What the baseline measured and this run did not."""
    measured = {probe.name for probe in new.probes if probe.value is not None}
    return [
        GateLine(f"baseline, {probe.name}", Outcome.INCONCLUSIVE, "measured in the baseline, and not in this run")
        for probe in old.probes
        if probe.value is not None and probe.name not in measured
    ]
