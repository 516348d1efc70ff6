"""A sweep's grid as a page. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sway_gguf.core.sweep import CellRow
from sway_gguf.report.grid import grids, sums, verdict_of
from sway_gguf.report.html.heat import legend, shade
from sway_gguf.report.html.page import page


def html_sweep(rows: Sequence[CellRow], name: str) -> str:
    """A grid for each suite, shaded by lift, then a row per cell with a link to its result.

    Args:
        rows: of the cells, in order.
        name: of the sweep.
    """
    return page(
        "sweep.html",
        title=f"sway-gguf sweep: {name}",
        record={"rows": [asdict(row) for row in rows]},
        name=name,
        summary=sums(rows),
        grids=grids(rows),
        rows=rows,
        shade=lambda lift: "" if lift is None else shade(lift),
        legend=legend(),
        verdict_of=verdict_of,
    )
