"""Two looks at the nulls: which probes a few of them settle, so that the rest need not be asked.

At the first look a few nulls answer a part of the panel. A probe is overwhelming where it stands so far beyond them
that the level of the last look stays whole (Haybittle 1971, Peto et al. 1976). It takes a null more, up to a most,
while each probe left is beyond all: the spread of five says little, and the bar is fewer spreads away with every one.
What is left then goes on to all nulls and the whole panel, until each probe is settled: once a null did as well there,
no further null changes that. Where none could let it pass, or change an axis, none is asked for its sake. Knows
readings; neither views nor how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from sway_gguf.stats.calibration import MIN_NULLS, Calibration, calibrate
from sway_gguf.verdict.beyond import by_items_alone
from sway_gguf.verdict.parts import stands_out
from sway_gguf.verdict.reading import Reading

FIRST_NULLS, MOST_FIRST_NULLS, FIRST_ITEMS = 5, 9, 8
"""Of the first look: what it begins with, what it takes at most, and what each of them answers."""
BAR, FALL = 1e-5, 0.3
"""Tail p, times the square of the number of probes left, below which the first look ends it, and what each further null
of it makes of that. Under heavy-tailed nulls a tail p overstates, its true size goes about like its root, so the plain
count of Holm would pay too little; with more degrees of freedom it overstates more. This adds at most 0.3 points to the
family-wise rate, whatever the nulls' law (benchmarks/looks.py)."""
NET = 0.01
"""Tail p, times the number of probes left, of what is left at the first look when other text's gain is taken off: a
fifth of what the last look asks for, of nulls that nothing is taken off."""


def bar_of(nulls: int) -> float:
    """The bar of the first look once it has seen so many nulls."""
    return BAR * FALL ** (nulls - FIRST_NULLS)


def calibration_of(reading: Reading) -> Calibration | None:
    """Where the value stands among the nulls seen so far, on the items that they answered."""
    return calibrate(reading.compared.value, [null.value for null in reading.nulls], reading.rule.toward)


def overwhelming(readings: Sequence[Reading], first: int | None) -> dict[int, float]:
    """Places of readings that the first look's nulls, `first` or more, settle in their favour; their corrected tail p.

    From the smallest p up, for as long as they lie below the bar: on their items alone, as the nulls are asked. What is
    left when other text's gain is taken off has to stand out as well, if not by as much. None for a run of a single
    look, which has none.
    """
    found = {
        place: calibration
        for place, reading in enumerate(readings)
        if reading.rule.by_nulls and _seen(reading, first) and (calibration := _on_items_alone(reading))
    }
    bars = {place: bar_of(len(calibration.nulls)) for place, calibration in found.items()}
    over, left = dict[int, float](), len(found)
    for place in sorted(found, key=lambda place: found[place].tail_p / bars[place]):
        corrected = found[place].tail_p * left**2
        if not (corrected < bars[place] and _stands_out(readings[place], left)):
            break
        over[place], left = corrected, left - 1
    return over


def _on_items_alone(reading: Reading) -> Calibration | None:
    """Where the value stands at the first look with nothing taken off: as any null's would, had it learned nothing."""
    value = (reading.part or reading.tuned).value
    return calibrate(value, [null.value for null in reading.early], reading.rule.toward)


def _stands_out(reading: Reading, left: int) -> bool:
    """Whether what is left of it stands beyond the first look's nulls, with so many probes still to be settled."""
    found = calibration_of(reading.at_first)
    return found is not None and found.beats_all and found.tail_p * left < NET


def idle(reading: Reading) -> bool:
    """Whether nulls are asked in vain: its own items show nothing, or leave it open, and no part would speak for it.

    Such a part speaks for as long as no null does as well there.
    """
    if reading.tuned.undecided or not reading.rule.by_nulls:
        return False
    return by_items_alone(reading) and not _spoken_for(reading)


def ended(readings: Sequence[Reading], first: int | None) -> dict[int, float]:
    """Places of readings that end with the first look, and their corrected tail p.

    The overwhelming ones; where these are all that nulls could let pass, the idle ones with them. Beside anything that
    goes on, the idle go on too: the last look corrects over all that it was made for.
    """
    over = overwhelming(readings, first)
    left = [place for place in _decided_by_nulls(readings) if place not in over]
    found = {place: calibration_of(readings[place].at_first) for place in left if _seen(readings[place], first)}
    if not all(idle(readings[place].at_first) and found.get(place) for place in left):
        return over
    return over | {place: min(1.0, each.tail_p * len(left) ** 2) for place, each in found.items() if each}


def near(readings: Sequence[Reading], first: int | None) -> list[int]:
    """Places that one more null of the first look may settle; none where that is in vain.

    It is where one of them was beaten, or saw no null: the last look has to be made for it anyway. Beside any, so may
    those that are idle: in the last look they would go along with what is asked of them there.
    """
    over = overwhelming(readings, first)
    left = [place for place in _decided_by_nulls(readings) if place not in over]
    seen = [place for place in left if _seen(readings[place], first)]
    beyond = {place for place in seen if (each := calibration_of(readings[place].at_first)) and each.beats_all}
    asked = {place for place in left if not idle(readings[place].at_first)}
    return sorted(beyond) if asked and asked <= beyond else []


def settled(readings: Sequence[Reading], first: int | None) -> bool:
    """Whether no further null could change a verdict: each probe that nulls decide has ended, is beaten or void."""
    over = ended(readings, first)
    return all(place in over or _settled(readings[place]) for place in _decided_by_nulls(readings))


def _decided_by_nulls(readings: Sequence[Reading]) -> list[int]:
    """Places of those that nulls decide, as far as there is something to be decided."""
    return [place for place, found in enumerate(readings) if found.rule.by_nulls and not found.tuned.undecided]


def _seen(reading: Reading, first: int | None) -> bool:
    """Whether the first look has seen enough nulls of it; never in a run of a single look."""
    return first is not None and len(reading.early) >= first


def _settled(reading: Reading) -> bool:
    found = calibration_of(reading)
    if found is None or len(reading.nulls) < MIN_NULLS:
        return False
    return idle(reading) or not (found.beats_all or _spoken_for(reading))


def _spoken_for(reading: Reading) -> bool:
    """Whether a part that speaks where the value misses stands out among the nulls so far."""
    return any(part.instead and stands_out(part, reading) for part in reading.tuned.parts)
