"""Two looks at the nulls: which probes a few of them settle, so that the rest need not be asked.

After the first few nulls a probe is overwhelming where it stands so far beyond them that the level of the last look
stays whole (Haybittle 1971, Peto et al. 1976), and beaten where a null did as well, which no further null changes. What
lies between goes on to all nulls. Knows readings; neither views nor how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sway_gguf.stats.calibration import MIN_NULLS, Calibration, calibrate
from sway_gguf.verdict.reading import Reading

FIRST_NULLS = 6
"""Nulls of the first look."""
BAR = 3e-6
"""Tail p, times the square of the number of probes left, below which the first look ends it. Under heavy-tailed nulls a
tail p overstates, its true size goes about like its root, so the plain count of Holm would pay too little. With six
nulls this adds at most 0.3 points to the family-wise rate, whatever the nulls' law (benchmarks/looks.py)."""


def calibration_of(reading: Reading) -> Calibration | None:
    """Where the value on the panel stands among the nulls seen so far."""
    return calibrate(reading.compared.value, [null.value for null in reading.nulls], reading.rule.toward)


def overwhelming(readings: Sequence[Reading], first: int | None) -> dict[int, float]:
    """Places of readings that the first `first` nulls settle in their favour, with their corrected tail p.

    From the smallest p down, for as long as they lie below the bar. None for a run of a single look, which has none.
    """
    if first is None:
        return {}
    early = [replace(reading, nulls=reading.nulls[:first]) for reading in readings]
    found = {
        place: calibration
        for place, reading in enumerate(early)
        if reading.rule.by_nulls and len(reading.nulls) == first and (calibration := calibration_of(reading))
    }
    over, left = dict[int, float](), len(found)
    for place in sorted(found, key=lambda place: found[place].tail_p):
        corrected = found[place].tail_p * left**2
        if not (found[place].beats_all and corrected < BAR):
            break
        over[place], left = corrected, left - 1
    return over


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
