"""How a value goes with the adapter's scale λ, as panels of points joined by lines. Knows where each mark lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sway_gguf.core.measurement import Curve
from sway_gguf.report import numbers
from sway_gguf.report.html.scale import scale_over

HEIGHT = 130.0
_TOP, _BOTTOM = 14.0, 112.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One line over λ: places across in percent of the width, heights in pixels.

    Attributes:
        name: what goes up, with its unit.
        points: place and height.
        across, up: ticks of the axes.
        marks: λ that deserve a line, with a word.
        zero: height of zero.
        alternative: the picture in words.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]
    zero: float
    alternative: str

    @property
    def segments(self) -> list[tuple[float, float, float, float]]:
        """Lines between neighbours."""
        return [(*start, *end) for start, end in pairwise(self.points)]


def panels(curve: Curve | None, unit: str) -> list[Panel]:
    """The probe's value over λ, and the material's lift where there is one."""
    if curve is None or len(curve.scales) < 2:
        return []
    marks = [(1.0, "as trained")]
    found = [_panel(f"value, {unit}", curve.scales, curve.values, marks)]
    if len(curve.lifts) == len(curve.scales):
        peak = [] if curve.peak is None else [(curve.peak, f"peak {numbers.number(curve.peak)}")]
        found.append(_panel("lift of the material, nats/token", curve.scales, curve.lifts, [*peak] or marks))
    return found


def _panel(name: str, scales: Sequence[float], values: Sequence[float], marks: Sequence[tuple[float, str]]) -> Panel:
    across, up = scale_over([*scales, *(place for place, _ in marks)]), scale_over(values)

    def left(value: float) -> float:
        return 9 + 0.9 * across.at(value)

    def height(share: float) -> float:
        return _BOTTOM - (share - 3) / 94 * (_BOTTOM - _TOP)

    told = ", ".join(f"λ {numbers.number(x)}: {numbers.number(y)}" for x, y in zip(scales, values, strict=True))
    return Panel(
        name=name,
        points=tuple((left(x), height(up.at(y))) for x, y in zip(scales, values, strict=True)),
        across=tuple((9 + 0.9 * place, words) for place, words in across.ticks()),
        up=tuple((height(place), words) for place, words in up.ticks(3)),
        marks=tuple((left(place), words) for place, words in marks),
        zero=height(up.at(0.0)),
        alternative=f"{name} by λ: {told}.",
    )
