"""Two looks at the nulls: which probes a few of them settle, so that the rest need not be asked.

After the first few nulls a probe is overwhelming where it stands so far beyond them that the level of the last look
stays whole (Haybittle 1971, Peto et al. 1976), and beaten where a null did as well, which no further null changes. What
lies between goes on to all nulls. Knows readings; neither views nor how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.stats.calibration import MIN_NULLS, Calibration, calibrate
from sway_gguf.stats.holm import holm
from sway_gguf.verdict.reading import Reading

FIRST_NULLS = 7
"""Nulls of the first look."""
BAR = 1e-6
"""Tail p after Holm's correction that ends it at the first look; benchmarks/false_alarms.py holds it to the level."""


def calibration_of(reading: Reading) -> Calibration | None:
    """Where the value on the panel stands among the nulls seen so far."""
    return calibrate(reading.compared.value, [null.value for null in reading.nulls], reading.rule.toward)


def overwhelming(readings: Sequence[Reading], first: int | None) -> dict[int, float]:
    """Places of readings that the first `first` nulls settle in their favour, with their corrected tail p.

    None for a run of a single look, which has none.
    """
    if first is None:
        return {}
    early = [replace(reading, nulls=reading.nulls[:first]) for reading in readings]
    found = {
        place: calibration
        for place, reading in enumerate(early)
        if reading.rule.by_nulls and len(reading.nulls) == first and (calibration := calibration_of(reading))
    }
    corrected = dict(zip(found, holm([each.tail_p for each in found.values()]), strict=True))
    return {place: p for place, p in corrected.items() if found[place].beats_all and p < BAR}


def settled(readings: Sequence[Reading], first: int | None) -> bool:
    """Whether no further null could change a verdict: each probe that nulls decide is overwhelming, beaten or void."""
    decided = [place for place, reading in enumerate(readings) if reading.rule.by_nulls]
    if any(len(readings[place].nulls) < MIN_NULLS for place in decided):
        return False
    over = overwhelming(readings, first)
    return all(place in over or _beaten(readings[place]) for place in decided)


def _beaten(reading: Reading) -> bool:
    found = calibration_of(reading)
    return bool(reading.tuned.undecided) or (found is not None and not found.beats_all)
