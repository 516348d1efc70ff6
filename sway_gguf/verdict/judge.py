"""One verdict per probe, by its rule. The only place where a z, a p or an interval meets a threshold.

Knows measurements and rules; neither probe kinds nor how anything was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from sway_gguf.core.measurement import (
    AboveFloor,
    AboveNull,
    AboveTolerance,
    AllChecks,
    BelowTolerance,
    Measurement,
    Rule,
)
from sway_gguf.core.result import NullSummary, ProbeResult, RankNulls, Verdict
from sway_gguf.stats.bootstrap import MIN_ITEMS, Interval, mean_interval
from sway_gguf.stats.calibration import MIN_NULLS, Calibration, calibrate, smallest_rank_p
from sway_gguf.stats.family import family_rank_p
from sway_gguf.stats.holm import holm

FLOOR_MARGIN = 3.0
"""A change between one and this many noise floors may be the floor's own scatter: it warns."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was measured for one probe.

    Attributes:
        name, kind, axis, unit: which probe.
        rule: how it is judged.
        tuned: measured on the real adapter.
        nulls: measured on nulls, in the order of their seeds.
        profile: measured on nulls of other ranks, by rank scale; shown, never the gate.
        floor: |value| of base against base in another batch layout; None for what is measured without a model.
    """

    name: str
    kind: str
    axis: str
    unit: str
    rule: Rule
    tuned: Measurement
    nulls: tuple[Measurement, ...]
    floor: float | None
    profile: Mapping[float, tuple[Measurement, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Evidence:
    reading: Reading
    interval: Interval | None
    calibration: Calibration | None
    corrected: float | None
    family: float | None
    alpha: float

    @property
    def value(self) -> float:
        return self.reading.tuned.value


def judge(readings: Sequence[Reading], *, alpha: float, seed: int) -> list[ProbeResult]:
    """Verdicts for all of a run's probes, corrected over those that nulls decide.

    Holm's correction leans on tail p-values, which take nulls to be near to normal; a divergence's are not, and
    simulated runs then raised false alarms in 7 to 8 of 100. So a pass also needs the family-wise rank p, which
    assumes exchangeability alone.

    Args:
        readings: one per probe that ran.
        alpha: family-wise level.
        seed: of the bootstrap.
    """
    calibrations = [_calibration(reading) for reading in readings]
    decided = [i for i, r in enumerate(readings) if isinstance(r.rule, AboveNull) and calibrations[i]]
    raw = [found.tail_p for i in decided if (found := calibrations[i])]
    corrected = dict(zip(decided, holm(raw), strict=True))
    family = _family(readings, decided)
    return [
        _result(_Evidence(reading, _interval(reading, seed), calibrations[i], corrected.get(i), family.get(i), alpha))
        for i, reading in enumerate(readings)
    ]


def _family(readings: Sequence[Reading], decided: Sequence[int]) -> dict[int, float]:
    """Family-wise rank p of the readings in `decided`, over those that saw as many nulls."""
    found: dict[int, float] = {}
    for count in {len(readings[i].nulls) for i in decided}:
        alike = [i for i in decided if len(readings[i].nulls) == count]
        found |= zip(alike, family_rank_p([_views(readings[i]) for i in alike]), strict=True)
    return found


def _calibration(reading: Reading) -> Calibration | None:
    direction = reading.rule.direction if isinstance(reading.rule, AboveNull) else "higher"
    return calibrate(reading.tuned.value, [null.value for null in reading.nulls], direction)


def _profile(reading: Reading) -> dict[str, RankNulls]:
    """How the value stands among nulls of other ranks."""
    found = {}
    for scale, nulls in sorted(reading.profile.items()):
        against = calibrate(reading.tuned.value, [null.value for null in nulls])
        if against:
            found[f"{scale:g}"] = RankNulls(against.nulls, against.mean, against.sd, against.z)
    return found


def _views(reading: Reading) -> list[float]:
    """The real value and the nulls', turned so that higher is better."""
    values = [reading.tuned.value, *(null.value for null in reading.nulls)]
    direction = reading.rule.direction if isinstance(reading.rule, AboveNull) else "higher"
    if direction == "two-sided":
        center = sum(values) / len(values)
        return [abs(value - center) for value in values]
    return [-value for value in values] if direction == "lower" else values


def _interval(reading: Reading, seed: int) -> Interval | None:
    measured = reading.tuned
    if not measured.interval:
        return None
    return mean_interval([item.value for item in measured.items], [item.value for item in measured.controls], seed=seed)


def _result(evidence: _Evidence) -> ProbeResult:
    reading, found = evidence.reading, evidence.calibration
    verdict, reason = _qualified(*_decide(evidence), reading)
    return ProbeResult(
        name=reading.name,
        kind=reading.kind,
        axis=reading.axis,
        verdict=verdict,
        reason=reason,
        unit=reading.unit,
        value=evidence.value,
        interval=(evidence.interval.low, evidence.interval.high) if evidence.interval else None,
        null=None
        if found is None
        else NullSummary(
            found.nulls,
            found.mean,
            found.sd,
            found.z,
            found.rank_p,
            found.tail_p,
            evidence.corrected,
            evidence.family,
            _profile(reading),
        ),
        noise_floor=reading.floor,
        items=reading.tuned.items,
        controls=reading.tuned.controls,
        checks=reading.tuned.checks,
        notes=reading.tuned.notes,
        details=reading.tuned.details,
        decides=not isinstance(reading.rule, AllChecks),
        optional=isinstance(reading.rule, AboveNull | BelowTolerance) and not reading.rule.fails,
    )


def _qualified(verdict: Verdict, reason: str, reading: Reading) -> tuple[Verdict, str]:
    """A check that was missed turns a PASS into a WARN, whatever the rule."""
    missed = [check.text for check in reading.tuned.checks if not check.passed]
    return (
        (Verdict.WARN, f"{reason}, but {'; '.join(missed)}")
        if missed and verdict == Verdict.PASS
        else (verdict, reason)
    )


def _decide(evidence: _Evidence) -> tuple[Verdict, str]:
    reading = evidence.reading
    if reading.tuned.undecided:
        return Verdict.INCONCLUSIVE, reading.tuned.undecided
    rule = reading.rule
    if isinstance(rule, AboveFloor):
        return _above_floor(evidence.value, reading.floor or 0.0)
    if isinstance(rule, AboveTolerance | BelowTolerance):
        return _against_tolerance(evidence, rule)
    if isinstance(rule, AllChecks):
        return _all_checks(evidence)
    if isinstance(rule, AboveNull):
        return _above_null(evidence, rule)
    assert_never(rule)


def _above_floor(value: float, floor: float) -> tuple[Verdict, str]:
    if value <= floor:
        return Verdict.FAIL, "nothing changes beyond numerical noise"
    if value <= FLOOR_MARGIN * floor:
        return Verdict.WARN, f"the change is only {value / floor:.1f} times the numerical noise"
    return Verdict.PASS, "the logits change"


def _against_tolerance(evidence: _Evidence, rule: AboveTolerance | BelowTolerance) -> tuple[Verdict, str]:
    if evidence.interval is None:
        return Verdict.INCONCLUSIVE, _too_few(evidence.reading)
    limit, higher = rule.tolerance, isinstance(rule, AboveTolerance)
    missed = Verdict.WARN if isinstance(rule, BelowTolerance) and not rule.fails else Verdict.FAIL
    if evidence.interval.low > limit:
        return Verdict.PASS if higher else missed, f"the whole interval lies above {limit:g}"
    if evidence.interval.high < limit:
        return missed if higher else Verdict.PASS, f"the whole interval lies below {limit:g}"
    return Verdict.WARN, f"the interval reaches across {limit:g}; more items would narrow it"


def _all_checks(evidence: _Evidence) -> tuple[Verdict, str]:
    if evidence.reading.floor is not None and evidence.value <= evidence.reading.floor:
        return Verdict.INCONCLUSIVE, "no effect above numerical noise, so it has no shape"
    failed = [check.text for check in evidence.reading.tuned.checks if not check.passed]
    if failed:
        return Verdict.WARN, "; ".join(failed)
    return Verdict.PASS, "; ".join(check.text for check in evidence.reading.tuned.checks)


def _above_null(evidence: _Evidence, rule: AboveNull) -> tuple[Verdict, str]:
    reading, found = evidence.reading, evidence.calibration
    items, nulls = len(reading.tuned.items), len(reading.nulls)
    failed = Verdict.FAIL if rule.fails else Verdict.WARN
    # What is no mean of effects, such as a share, is as large on noise as on anything.
    if reading.tuned.interval and abs(evidence.value) <= (reading.floor or 0.0):
        return failed, "no effect above numerical noise"
    if reading.tuned.interval and items < MIN_ITEMS:
        return Verdict.INCONCLUSIVE, _too_few(reading)
    if found is None or nulls < MIN_NULLS or evidence.corrected is None:
        return Verdict.INCONCLUSIVE, f"{nulls} nulls are too few; ask for {MIN_NULLS} or more with --nulls"
    stands_out = (evidence.family or 0.0) <= max(evidence.alpha, smallest_rank_p(nulls))
    if found.beats_all and evidence.corrected < evidence.alpha and stands_out:
        return Verdict.PASS, f"beyond all {nulls} nulls, corrected p {evidence.corrected:.2g}"
    if not found.beats_all:
        worse = sum(not _beats(evidence.value, null, rule) for null in found.nulls)
        return failed, f"{worse} of {nulls} nulls do as well"
    if evidence.corrected >= evidence.alpha:
        lacking = f"corrected p {evidence.corrected:.2g} is not below {evidence.alpha:g}"
    else:
        lacking = "over all probes together some null stands out as far"
    return failed, f"beyond all {nulls} nulls here, but {lacking}"


def _too_few(reading: Reading) -> str:
    """What an interval lacks: items, or controls to set against them."""
    items, controls = len(reading.tuned.items), len(reading.tuned.controls)
    if items < MIN_ITEMS:
        return f"{items} items are too few; give {MIN_ITEMS - items} or more in addition"
    return f"{controls} pieces of unrelated text are too few; give {MIN_ITEMS - controls} or more in addition"


def _beats(value: float, null: float, rule: AboveNull) -> bool:
    return value < null if rule.direction == "lower" else value > null
