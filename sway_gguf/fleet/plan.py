"""What a sweep would take: cells and tokens by base and suite.

Reads headers, texts and vocabularies; loads no weights.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sway_gguf.core.errors import UserError
from sway_gguf.core.sweep import PlannedPart
from sway_gguf.fleet.cell import Cell


def planned_sweep(cells: Sequence[Cell], done: Collection[str]) -> list[PlannedPart]:
    """A part for each base and suite, in the order of the cells.

    One cell's tokens stand for those of its part: they follow from base and suite, hardly from the adapter.

    Args:
        cells: all of them.
        done: keys of those that were measured before.
    """
    parts: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        parts.setdefault((cell.base, cell.suite), []).append(cell)
    return [_part(base, suite, found, done) for (base, suite), found in parts.items()]


def _part(base: str, suite: str, cells: Sequence[Cell], done: Collection[str]) -> PlannedPart:
    from sway_gguf.suite.planned import planned
    from sway_gguf.suite.prepare import prepare

    kept, trouble = sum(cell.key in done for cell in cells), ""
    for cell in {cell.adapter: cell for cell in reversed(cells)}.values():
        try:
            plan = planned(prepare(cell.spec))
        except UserError as error:
            trouble = trouble or str(error)
            continue
        return PlannedPart(base, suite, len(cells), kept, plan.least, plan.speed)
    return PlannedPart(base, suite, len(cells), kept, trouble=trouble)
