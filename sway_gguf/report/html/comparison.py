"""What changed between two results, as a page. Renders records and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from sway_gguf.core.comparison import Comparison, Movement, ProbeChange
from sway_gguf.core.measurement import Item
from sway_gguf.report.html.bars import Bar, bars
from sway_gguf.report.html.page import page
from sway_gguf.report.html.strip import Strip, change_strip

_RECORD: TypeAdapter[Comparison] = TypeAdapter(Comparison)


@dataclass(frozen=True, slots=True)
class _Change:
    """A probe with its pictures: the change among zero and the noise floor, and the change of each item."""

    probe: ProbeChange
    number: int
    strip: Strip | None
    items: list[tuple[str, float, float, Bar]]

    @property
    def anchor(self) -> str:
        """Its id in the page; a name may hold anything."""
        return f"probe-{self.number}"

    @property
    def opened(self) -> bool:
        """Whether it is shown unfolded at first."""
        return self.probe.movement == Movement.WORSE


def html_comparison(comparison: Comparison) -> str:
    """Diagnoses and conditions, a row per probe, and the items of each by how much they changed."""
    record: dict[str, Any] = _RECORD.dump_python(comparison, mode="json")
    changes = [_change(number, probe) for number, probe in enumerate(comparison.probes, 1)]
    return page(
        "comparison.html",
        title=f"sway-gguf: {comparison.old_name} and {comparison.new_name}",
        record=record,
        comparison=comparison,
        changes=changes,
    )


def _change(number: int, probe: ProbeChange) -> _Change:
    drawn = bars([Item(item.label, item.delta, key=item.key) for item in probe.items], frozenset())
    return _Change(
        probe=probe,
        number=number,
        strip=change_strip(probe.delta, probe.interval, probe.floor, probe.unit),
        items=[(item.label, item.old, item.new, bar) for item, bar in zip(probe.items, drawn, strict=True)],
    )
