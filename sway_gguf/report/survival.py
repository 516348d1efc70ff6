"""Draws the survival matrix. Renders records and nothing else."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.survival import DeploymentResult, SurvivalMatrix
from sway_gguf.report import numbers
from sway_gguf.report.terminal import verdict_text

_WIDE = 120


def print_matrix(matrix: SurvivalMatrix, console: Console) -> None:
    """One row per deployment, then what is recommended."""
    wide = console.width >= _WIDE
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("deployment", no_wrap=True)
    headings = ["size", "retained (95%)", "cosine", "top-1", "floor", "collateral"]
    headings += ["effect", "load", "memory", "prompt t/s", "write t/s"] if wide else []
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in matrix.rows:
        table.add_row(row.name, *_cells(row, wide), verdict_text(row.verdict, short=not wide))
    if Measurement.get(console, console.options.update(width=2 * _WIDE), table).maximum <= console.width:
        console.print(table)
    else:
        for row in matrix.rows:
            told = (f"{heading} {cell}" for heading, cell in zip(headings, _cells(row, wide), strict=True))
            console.print(Text.assemble(f"{row.name}: {', '.join(told)} ", verdict_text(row.verdict, short=True)))
    console.print(Padding(Text(matrix.summary, style="bold"), (1, 0, 0, 0)))
    for remark in matrix.remarks:
        console.print(Text(remark))
    if len(matrix.pareto) > 1:
        console.print(Text(f"Each keeps more than any smaller one: {', '.join(matrix.pareto)}.", style="dim"))
    console.print(
        Text(
            "Retained: the document's gain in log-probability over the first row's. Floor: KL of the base alone from "
            "the first row's base, nats. Collateral: change on general text, nats per token.",
            style="dim",
        )
    )


def _cells(row: DeploymentResult, wide: bool) -> list[str]:
    interval = row.retained_interval
    span = f" ({interval[0]:.0%}…{interval[1]:.0%})" if interval else ""
    cells = [
        numbers.size(row.size),
        f"{row.retained:.0%}{span}",
        f"{row.cosine:.3f}",
        f"{row.top1_agreement:.0%}",
        numbers.number(row.floor, digits=2),
        numbers.number(row.collateral, signed=True, digits=2),
    ]
    if wide:
        memory = numbers.MISSING if row.peak_memory is None else numbers.size(row.peak_memory)
        cells += [
            numbers.number(row.effect, signed=True),
            numbers.seconds(row.load_seconds),
            memory,
            numbers.count(row.prompt_speed),
            numbers.count(row.generation_speed),
        ]
    return cells
