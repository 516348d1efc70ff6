"""A bar per item, with what the nulls did on that very item as a band behind it. Knows where each mark lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sway_gguf.core.measurement import Item
from sway_gguf.report import numbers
from sway_gguf.report.html.scale import Scale, scale_over

CONTRAST = "contrast"
"""In the detail of a section's item: its lift less the mean lift of the other sections."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One item: places in percent of the width.

    Attributes:
        label, group, key: of the item.
        number: its value; words for it and for the nulls.
        start, width: of the bar, which begins or ends at `zero`.
        band: start and width of what the nulls did.
        down: whether the value is below zero.
        asked: whether the result holds what was asked.
    """

    label: str
    group: str
    key: str
    number: float
    nulls: str
    start: float
    width: float
    zero: float
    band: tuple[float, float] | None
    down: bool
    asked: bool

    @property
    def alternative(self) -> str:
        """The picture in words."""
        beside = f", nulls {self.nulls}" if self.band else ""
        return f"{numbers.number(self.number)}{beside}"


def bars(items: Sequence[Item], asked: frozenset[str]) -> list[Bar]:
    """A bar per item, all on one scale. `asked`: keys of items whose full text the result holds."""
    scale = scale_over([end for item in items for end in (item.value, *(item.nulls or ()))])
    return [_bar(item, item.value, scale, item.key in asked) for item in items]


def contrasts(items: Sequence[Item]) -> list[Bar]:
    """A bar per section for its gain beyond the others, most first; none for items that are no sections."""
    found = [(item, float(item.detail[CONTRAST])) for item in items if CONTRAST in item.detail]
    scale = scale_over(value for _, value in found)
    found.sort(key=lambda pair: -pair[1])
    return [_bar(item, value, scale, asked=False, nulls=False) for item, value in found]


def _bar(item: Item, value: float, scale: Scale, asked: bool, nulls: bool = True) -> Bar:
    zero, place = scale.at(0.0), scale.at(value) if math.isfinite(value) else scale.at(0.0)
    ends = item.nulls if nulls else None
    return Bar(
        label=item.label,
        group=item.group,
        key=item.key,
        number=value,
        nulls=numbers.span(ends),
        start=min(zero, place),
        width=abs(place - zero),
        zero=zero,
        band=(scale.at(ends[0]), scale.at(ends[1]) - scale.at(ends[0])) if ends else None,
        down=value < 0,
        asked=asked,
    )
