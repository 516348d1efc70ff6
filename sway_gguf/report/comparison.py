"""Draws several results as one table, a row each. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.result import SuiteResult, Verdict
from sway_gguf.report import numbers
from sway_gguf.report.terminal import diagnosis_line, verdict_text

_AXES = ("applied", "signal", "direction", "collateral")


def print_comparison(results: Mapping[str, SuiteResult], about: Mapping[str, str], console: Console) -> None:
    """One row per result with its axes, then each diagnosis in a sentence.

    Args:
        results: by name, in order.
        about: a few words on each.
        console: where to draw.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("adapter", overflow="fold")
    for axis in _AXES:
        table.add_column(axis, no_wrap=True)
    table.add_column("seconds", justify="right")
    for name, result in results.items():
        by_axis = {axis.axis: axis.verdict for axis in result.axes}
        cells = [verdict_text(by_axis[axis]) for axis in _AXES]
        table.add_row(Text(name, style="bold"), *cells, f"{result.timings['run_seconds']:.1f}")
    console.print(table)
    for name, result in results.items():
        console.print(Padding(Text.assemble((name, "bold"), f": {about[name]}"), (1, 0, 0, 0)))
        console.print(Padding(diagnosis_line(result), (0, 0, 0, 2)))
        console.print(Padding(Text(_evidence(result), style="dim"), (0, 0, 0, 2)))


def _evidence(result: SuiteResult) -> str:
    """The numbers that decided, one per probe that nulls or a tolerance judge."""
    parts = []
    for probe in result.probes:
        if probe.value is not None and probe.decides and probe.verdict != Verdict.SKIP:
            z = f", z {numbers.z_score(probe.null.z)}" if probe.null and probe.null.holm_p is not None else ""
            parts.append(f"{probe.name} {numbers.number(probe.value)} {probe.unit}{z}")
    return "; ".join(parts)
