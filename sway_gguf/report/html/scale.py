"""Where a number lies on a chart: in percent of its width, so that it fits a phone and a wall. Knows numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sway_gguf.report import numbers

_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from `low` at the left to `high` at the right."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Percent of the width; a value outside lies on the edge."""
        share = (value - self.low) / (self.high - self.low)
        return _MARGIN + (100 - 2 * _MARGIN) * min(1.0, max(0.0, share))

    def ticks(self, wanted: int = 4) -> list[tuple[float, str]]:
        """Round numbers on the scale, as their place and their words."""
        step = round_step((self.high - self.low) / wanted)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self.at(n * step), tick_text(n * step, step)) for n in range(first, last + 1)]


def scale_over(values: Iterable[float | None]) -> Scale:
    """A scale that holds all values that are finite, and zero, with a little room."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min([0.0, *found]), max([0.0, *found])
    room = 0.04 * (high - low) or 1.0
    return Scale(low - room if low < 0 else low - room / 2, high + room)


def round_step(step: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is no smaller than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def tick_text(value: float, step: float) -> str:
    """A tick without more digits than its step has."""
    if value == 0 or not 1e-3 <= step < 1e5:
        return numbers.number(value, digits=2)
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
