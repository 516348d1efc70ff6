"""One verdict per probe: calibration, correction over the run, intervals; the rules give the verdict.

Knows measurements and rules; neither probe kinds nor how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.core.measurement import SIZES, Item
from sway_gguf.core.result import NullSummary, ProbeResult, RankNulls
from sway_gguf.core.toll import Costs
from sway_gguf.stats.calibration import calibrate
from sway_gguf.stats.family import family_rank_p
from sway_gguf.stats.holm import holm
from sway_gguf.verdict.beyond import interval_of
from sway_gguf.verdict.looks import calibration_of, ended
from sway_gguf.verdict.parts import parts_of
from sway_gguf.verdict.reading import Evidence, Reading
from sway_gguf.verdict.rules import verdict_of
from sway_gguf.verdict.toll import toll_of


def judge(
    readings: Sequence[Reading], *, alpha: float, first: int | None = None, costs: Costs | None = None
) -> list[ProbeResult]:
    """Verdicts for all of a run's probes, corrected over those that nulls decide.

    The p is the family-wise rank p, which assumes exchangeability alone. Beside it stands the tail p after Holm's
    correction, which takes nulls to be near to normal; a divergence's are not, and alone it raised false alarms in
    7 to 8 of 100 simulated runs. What the first look settled is taken out; the others are corrected over each other.

    Args:
        readings: one per probe that ran.
        alpha: family-wise level.
        first: nulls of the first look; None where there was but one look.
        costs: of quantizing the base, told beside damage to running text.
    """
    early = ended(readings, first)
    readings = [reading.at_first if place in early else reading for place, reading in enumerate(readings)]
    calibrations = [calibration_of(reading) for reading in readings]
    decided = [i for i, r in enumerate(readings) if r.rule.by_nulls and calibrations[i] and i not in early]
    raw = [found.tail_p for i in decided if (found := calibrations[i])]
    corrected = dict(zip(decided, holm(raw), strict=True)) | early
    family = _family(readings, decided) | _family(readings, list(early))
    return [
        _result(
            Evidence(
                reading,
                interval_of(reading),
                calibrations[i],
                corrected.get(i),
                family.get(i),
                alpha,
                parts_of(reading),
                i in early,
            ),
            costs,
        )
        for i, reading in enumerate(readings)
    ]


def _family(readings: Sequence[Reading], decided: Sequence[int]) -> dict[int, float]:
    """Family-wise rank p of the readings in `decided`, over those that saw as many nulls."""
    found: dict[int, float] = {}
    for count in {len(readings[i].nulls) for i in decided}:
        alike = [i for i in decided if len(readings[i].nulls) == count]
        found |= zip(alike, family_rank_p([_views(readings[i]) for i in alike]), strict=True)
    return found


def _profile(reading: Reading) -> dict[str, RankNulls]:
    """How the value stands among nulls of other ranks."""
    found = {}
    for scale, nulls in sorted(reading.profile.items()):
        against = calibrate(reading.compared.value, [null.value for null in nulls])
        if against:
            found[f"{scale:g}"] = RankNulls(against.nulls, against.mean, against.sd, against.z)
    return found


def _views(reading: Reading) -> list[float]:
    """The real value and the nulls', turned so that higher is better."""
    values = [reading.compared.value, *(null.value for null in reading.nulls)]
    if reading.rule.toward == "two-sided":
        center = sum(values) / len(values)
        return [abs(value - center) for value in values]
    return [-value for value in values] if reading.rule.toward == "lower" else values


def _result(evidence: Evidence, costs: Costs | None) -> ProbeResult:
    reading = evidence.reading
    verdict, reason = verdict_of(evidence)
    return ProbeResult(
        name=reading.name,
        kind=reading.kind,
        axis=reading.axis,
        verdict=verdict,
        reason=reason,
        unit=reading.unit,
        value=evidence.value if reading.tuned.items or not reading.tuned.undecided else None,
        interval=(evidence.interval.low, evidence.interval.high) if evidence.interval else None,
        null=_summary(evidence),
        noise_floor=reading.floor,
        items=_among_nulls(reading),
        controls=reading.tuned.controls,
        checks=reading.tuned.checks,
        notes=reading.tuned.notes,
        details=reading.tuned.details,
        decides=reading.rule.decides,
        optional=reading.rule.optional,
        headline=reading.tuned.headline,
        parts=evidence.parts,
        question=reading.question,
        passing=reading.passing,
        caveat=reading.caveat,
        curve=reading.tuned.curve,
        table=reading.tuned.table,
        better="" if reading.axis in SIZES else reading.rule.better,
        toll=toll_of(evidence, verdict, costs),
        through_template=reading.tuned.through_template,
        limit=reading.rule.limit,
    )


def _summary(evidence: Evidence) -> NullSummary | None:
    """Where the value stands among its nulls; None without any."""
    found, compared = evidence.calibration, evidence.reading.compared
    if found is None:
        return None
    return NullSummary(
        found.nulls,
        found.mean,
        found.sd,
        found.z,
        found.rank_p,
        found.tail_p,
        evidence.corrected,
        evidence.family,
        _profile(evidence.reading),
        compared.value,
        len(compared.items),
        evidence.early,
    )


def _among_nulls(reading: Reading) -> tuple[Item, ...]:
    """The items, each with what the nulls did on it."""
    found: dict[str, list[float]] = {}
    for null in reading.nulls:
        for item in null.items:
            found.setdefault(item.key, []).append(item.value)
    return tuple(
        replace(item, nulls=(min(values), max(values))) if (values := found.get(item.key)) else item
        for item in reading.tuned.items
    )
