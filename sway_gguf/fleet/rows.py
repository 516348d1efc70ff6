"""A cell's row in the table, from what came of it. Knows results and kinds of probes; measures nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import from_json
from sway_gguf.core.sweep import ERROR, CellRow
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.hand import Outcome

_LIFT, _COLLATERAL = "section_internalization", "external_perplexity"
"""Kinds of probes whose values stand for learning and for damage."""


def row_of(cell: Cell, outcome: Outcome) -> CellRow:
    """The row; an ERROR where there is no result, or one of other files than the cell's."""
    if not outcome.record:
        return _row(cell, outcome, ERROR, outcome.error)
    result = from_json(outcome.record, str(cell))
    if other := _other_file(cell, result):
        return _row(
            cell, outcome, ERROR, f"{outcome.worker}: {other} is another file there; copy ours, and start again"
        )
    by_kind = {probe.kind: probe.value for probe in reversed(result.probes) if probe.items}
    values = {probe.name: probe.value for probe in result.probes if probe.value is not None}
    return _row(
        cell,
        outcome,
        str(result.diagnosis),
        result.headline,
        axes={axis.axis: str(axis.verdict) for axis in result.axes},
        values={name: value for name, value in values.items() if math.isfinite(value)},
        lift=_finite(by_kind.get(_LIFT)),
        collateral=_finite(by_kind.get(_COLLATERAL)),
        tokens=int(result.timings.get("tokens", 0)),
    )


def _row(
    cell: Cell,
    outcome: Outcome,
    diagnosis: str,
    headline: str,
    *,
    axes: dict[str, str] | None = None,
    values: dict[str, float] | None = None,
    lift: float | None = None,
    collateral: float | None = None,
    tokens: int = 0,
) -> CellRow:
    return CellRow(
        key=cell.key,
        base=cell.base,
        adapter=cell.adapter,
        scale=cell.scale,
        seed=cell.seed,
        suite=cell.suite,
        diagnosis=diagnosis,
        headline=headline,
        axes=axes or {},
        values=values or {},
        lift=lift,
        collateral=collateral,
        seconds=round(outcome.seconds, 3),
        tokens=tokens,
        worker=outcome.worker,
        build=outcome.build,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _other_file(cell: Cell, result: SuiteResult) -> str:
    """The file of the result that is not the cell's; "" where both are."""
    models = cell.spec.models
    named = {"base": models.base.base, "adapter": models.ft.adapter}
    for record in result.files:
        wanted = cell.digests.get(record.role, "")
        # Of a folder, an adapter below it may have been taken; then the folder's own content says nothing of it.
        if wanted and record.path == str(named[record.role]) and record.sha256 != wanted:
            return record.path
    return ""
