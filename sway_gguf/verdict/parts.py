"""What stands beside a probe's value: intervals of its parts, and where they stand among the nulls.

Knows measurements; corrects nothing over the run, so that a part alone passes nothing.
"""

from __future__ import annotations

from sway_gguf.core.measurement import Measurement, Part
from sway_gguf.core.result import PartResult
from sway_gguf.stats.calibration import MIN_NULLS
from sway_gguf.stats.contrast import contrast
from sway_gguf.stats.interval import Interval, gap_interval, mean_interval
from sway_gguf.verdict.reading import Reading


def parts_of(reading: Reading) -> tuple[PartResult, ...]:
    """The parts of the tuned measurement, each among the same parts of the nulls."""
    return tuple(_result(part, reading) for part in reading.tuned.parts)


def value_of(part: Part) -> float:
    """Its mean less that of the other items, or less what its controls gained."""
    if part.less:
        return float(contrast(part.values)) - float(contrast(part.less))
    return float(contrast(part.values, part.controls))


def stands_out(part: Part, reading: Reading) -> bool:
    """Whether its value, on the items that nulls answered, lies beyond that of every null so far."""
    compared = next(map(value_of, _named(reading.compared, part.name)), value_of(part))
    return compared > max(_of_nulls(part, reading), default=compared)


def _of_nulls(part: Part, reading: Reading) -> tuple[float, ...]:
    return tuple(value_of(same) for null in reading.nulls for same in _named(null, part.name))


def _result(part: Part, reading: Reading) -> PartResult:
    value, span, nulls = value_of(part), _interval(part), _of_nulls(part, reading)
    above = None
    if span is not None and len(nulls) >= MIN_NULLS:
        above = span.low > (reading.floor or 0.0) and stands_out(part, reading)
    interval = None if span is None else (span.low, span.high)
    return PartResult(part.name, value, len(part.values), interval, nulls, above)


def _interval(part: Part) -> Interval | None:
    if part.less:
        return gap_interval(part.values, part.less, within=part.within)
    return mean_interval(part.values, part.controls, within=part.within)


def _named(measurement: Measurement, name: str) -> tuple[Part, ...]:
    return tuple(part for part in measurement.parts if part.name == name)
