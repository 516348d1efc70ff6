"""The survival matrix as a page. Renders records and nothing else."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from pydantic import TypeAdapter

from sway_gguf.core.survival import SurvivalMatrix
from sway_gguf.report.html.page import page
from sway_gguf.report.plot import survival_svg

_RECORD: TypeAdapter[SurvivalMatrix] = TypeAdapter(SurvivalMatrix)


def html_matrix(matrix: SurvivalMatrix) -> str:
    """Size against what is kept, then a row per deployment."""
    record: dict[str, Any] = _RECORD.dump_python(matrix, mode="json")
    return page(
        "matrix.html", title="sway-gguf: what survives", record=record, matrix=matrix,
        picture=Markup(survival_svg(matrix)),
    )  # fmt: skip
