"""The strip: a dot per null, the adapter's value with its interval among them, zero, the tolerance, the noise floor.

Knows where each mark lies; judges nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sway_gguf.core.result import PartResult, ProbeResult
from sway_gguf.report import numbers
from sway_gguf.report.html.scale import Scale, scale_over

_BIN = 1.6
_STACK = 7.0
_FARTHEST = 3.0
"""Spans of the data, zero among them: a tolerance beyond would squeeze all dots into one."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Places in percent of the width; heights in pixels from the strip's middle.

    Attributes:
        value: of the adapter, and `interval` around it.
        words: of the value.
        dots: a place and a height per null.
        nulls: words over the nulls, and where; None where they would stand on the value's.
        zero: where zero lies; `floor` from where to where noise reaches.
        limit: where the tolerance lies; None as well where it is far from all else.
        ticks: of the axis.
        alternative: the picture in words.
    """

    value: float
    words: str
    interval: tuple[float, float] | None
    dots: tuple[tuple[float, float], ...]
    nulls: tuple[float, str] | None
    zero: float
    floor: tuple[float, float] | None
    limit: float | None
    ticks: tuple[tuple[float, str], ...]
    alternative: str


def probe_strip(probe: ProbeResult, reach: float = 22.0) -> Strip | None:
    """The strip of a probe; None without a value, or where all is zero. `reach`: pixels of dots off the middle."""
    nulls = probe.null.values if probe.null else ()
    if probe.value is None or not math.isfinite(probe.value):
        return None
    if not any((probe.value, *nulls, *(probe.interval or ()))):
        return None
    marks = [probe.value, *nulls, *(probe.interval or ())]
    alone = scale_over(marks)
    near = probe.limit is not None and _is_near(probe.limit, alone)
    scale = scale_over([*marks, probe.limit]) if near else alone
    strip = _strip(probe.value, probe.interval, nulls, probe.noise_floor, scale, reach, probe.unit, limit=probe.limit)
    return strip if near else replace(strip, limit=None)


def _is_near(limit: float, scale: Scale) -> bool:
    span = _FARTHEST * (scale.high - scale.low)
    return scale.low - span <= limit <= scale.high + span


def part_strips(probe: ProbeResult) -> list[tuple[PartResult, Strip | None]]:
    """Each part with its strip, all on one scale."""
    ends = [end for part in probe.parts for end in (part.value, *(part.interval or ()), *part.nulls)]
    scale = scale_over(ends)
    return [
        (
            part,
            _strip(part.value, part.interval, part.nulls, probe.noise_floor, scale, 8.0, probe.unit)
            if math.isfinite(part.value)
            else None,
        )
        for part in probe.parts
    ]


def change_strip(
    delta: float | None, interval: tuple[float, float] | None, floor: float | None, unit: str
) -> Strip | None:
    """The strip of a change between two runs, which has no nulls; None where there is no change to draw."""
    if delta is None or not math.isfinite(delta):
        return None
    scale = scale_over([delta, *(interval or ()), -(floor or 0.0), floor])
    return _strip(delta, interval, (), floor, scale, 0.0, unit, "Change")


def _strip(
    value: float,
    interval: tuple[float, float] | None,
    nulls: Sequence[float],
    floor: float | None,
    scale: Scale,
    reach: float,
    unit: str,
    name: str = "Your adapter",
    limit: float | None = None,
) -> Strip:
    nulls = [null for null in nulls if math.isfinite(null)]
    place, middle = scale.at(value), scale.at(sum(nulls) / len(nulls)) if nulls else 0.0
    apart = abs(place - middle) > 34
    return Strip(
        value=place,
        words=f"{numbers.number(value)} {unit}".rstrip(),
        interval=(scale.at(interval[0]), scale.at(interval[1])) if interval else None,
        dots=tuple(_swarm([scale.at(null) for null in nulls], reach)),
        nulls=(middle, _counted(len(nulls))) if nulls and apart else None,
        zero=scale.at(0.0),
        floor=(scale.at(-floor), scale.at(floor)) if floor else None,
        limit=None if limit is None else scale.at(limit),
        ticks=tuple(scale.ticks()),
        alternative=_in_words(name, value, interval, nulls, floor, unit, limit),
    )


def _swarm(places: Sequence[float], reach: float) -> list[tuple[float, float]]:
    """Dots that would cover each other stand above and below the middle instead."""
    piles: dict[int, list[float]] = defaultdict(list)
    for place in sorted(places):
        piles[round(place / _BIN)].append(place)
    found = []
    for pile in piles.values():
        step = min(_STACK, 2 * reach / max(1, len(pile) - 1))
        found += [(place, (index - (len(pile) - 1) / 2) * step) for index, place in enumerate(pile)]
    return found


def _counted(nulls: int) -> str:
    return f"{nulls} null" if nulls == 1 else f"{nulls} nulls"


def _in_words(
    name: str,
    value: float,
    interval: tuple[float, float] | None,
    nulls: Sequence[float],
    floor: float | None,
    unit: str,
    limit: float | None,
) -> str:
    words = [f"{name} {numbers.number(value)} {unit}".rstrip()]
    if interval:
        words.append(f"95% interval {numbers.span(interval)}")
    if nulls:
        words.append(f"{_counted(len(nulls))} from {numbers.number(min(nulls))} to {numbers.number(max(nulls))}")
    if limit is not None:
        words.append(f"tolerance {numbers.number(limit)}")
    if floor is not None:
        words.append(f"noise floor {numbers.number(floor)}")
    return ", ".join(words) + "."
