"""A pick as a page. Renders records and nothing else."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from pydantic import TypeAdapter

from sway_gguf.core.pick import Pick
from sway_gguf.report.html.page import page
from sway_gguf.report.html.pick_plot import cost_svg, steps_svg
from sway_gguf.report.pick import cells, headings, legend, marks, shown_rows, title_of

_RECORD: TypeAdapter[Pick] = TypeAdapter(Pick)


def html_pick(pick: Pick) -> str:
    """What ships and how to run it, lift against cost, lift over the steps, then a row per candidate."""
    record: dict[str, Any] = _RECORD.dump_python(pick, mode="json")
    return page(
        "pick.html",
        title=title_of(pick),
        record=record,
        pick=pick,
        headings=headings(pick),
        rows=[(each, cells(pick, each), ", ".join(marks(pick, each))) for each in shown_rows(pick)],
        legend=legend(pick),
        cost=Markup(cost_svg(pick)),
        steps=Markup(steps_svg(pick)),
    )
