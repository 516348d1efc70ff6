"""Draws a sweep: its plan, a line per cell, and the grid at the end. Renders records and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sway_gguf.core.sweep import CellRow, PlannedPart, named
from sway_gguf.report import numbers
from sway_gguf.report.grid import Box, Grid, grids, sums, verdict_of
from sway_gguf.report.terminal import STYLES

_ERRORS = 12
"""Kinds of errors that are told in full."""


def print_sweep(rows: Sequence[CellRow], written: Mapping[str, str], console: Console) -> None:
    """A grid for each suite, the sums, what went wrong, and where all of it is kept.

    Args:
        rows: of the cells, in order.
        written: files by what they are.
        console: where to draw.
    """
    found = grids(rows)
    for grid in found:
        if len(found) > 1:
            console.print(Text(grid.suite, style="bold"))
        console.print(_drawn(grid))
        console.print()
    console.print(sums(rows))
    for line in _errors(rows):
        console.print(Padding(line, (0, 0, 0, 2)))
    for what, where in written.items():
        console.print(Text.assemble((f"{what:7} ", "dim"), where), overflow="fold")


def row_line(row: CellRow) -> Text:
    """What came of one cell."""
    lift = "" if row.lift is None else f", lift {numbers.number(row.lift, True, 2)}"
    why = f": {row.headline}" if row.failed else f"{lift} ({numbers.seconds(row.seconds)})"
    return Text.assemble(named(row), "  ", (row.diagnosis, STYLES[verdict_of(row)]), why)


def live_table(latest: Sequence[CellRow], running: Sequence[tuple[str, float, float]]) -> Table:
    """What came of the latest cells, and those at work.

    Args:
        latest: rows, the newest last.
        running: a cell's name, its seconds so far, and the share of it that is done, 0 where that is not known.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    for row in latest:
        lift = "" if row.lift is None else f"lift {numbers.number(row.lift, True, 2)}"
        diagnosis = Text(row.diagnosis, style=STYLES[verdict_of(row)])
        table.add_row(named(row), diagnosis, lift, Text(numbers.seconds(row.seconds), style="dim"))
    for name, seconds, share in running:
        table.add_row(name, Text("running", style="dim"), f"{share:.0%}" if share else "", numbers.seconds(seconds))
    return table


def print_sweep_plan(parts: Sequence[PlannedPart], workers: int, console: Console) -> None:
    """A row for each base and suite, and what all of it takes."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for heading in ("base", "suite"):
        table.add_column(heading, overflow="fold")
    for heading in ("cells", "done", "tokens a cell", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for part in parts:
        tokens = numbers.MISSING if part.trouble else numbers.count(part.tokens)
        time = numbers.MISSING if part.seconds is None else numbers.about(part.seconds)
        cells = (str(part.cells), str(part.done), tokens, time if part.left else numbers.MISSING)
        table.add_row(part.base, part.suite, *cells, part.trouble and f"ERROR: {part.trouble}")
    console.print(table)
    left, total = sum(part.left for part in parts), sum(part.cells for part in parts)
    console.print(f"\n{total} {'cell' if total == 1 else 'cells'}, {left} to measure. {_foreseen(parts, workers)}")


def _foreseen(parts: Sequence[PlannedPart], workers: int) -> str:
    wanted = [part for part in parts if part.left and not part.trouble]
    known = [part.seconds for part in wanted if part.seconds is not None]
    if not wanted:
        return "Nothing takes time."
    if not known:
        return "How long that takes is not known yet for these bases: a run measures it."
    among = f" for each of {workers} workers as fast as this machine alone" if workers > 1 else ""
    rest = "" if len(known) == len(wanted) else ", and bases without a known speed beside"
    return f"{numbers.about(sum(known) / workers).capitalize()}{among}{rest}; less where answers are kept."


def _drawn(grid: Grid) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("adapter", overflow="fold")
    for base in grid.bases:
        table.add_column(base, overflow="fold")
    for line in grid.lines:
        table.add_row(Text(line.name, style="bold"), *map(_box, line.boxes))
    return table


def _box(box: Box) -> Text:
    if not box.rows:
        return Text(numbers.MISSING, style="dim")
    return Text.assemble((box.words, STYLES[box.verdict]), *([("\n" + box.figures, "dim")] if box.figures else []))


def _errors(rows: Sequence[CellRow]) -> list[Text]:
    """One line for each kind of error, with the cells that it struck."""
    struck: dict[str, list[CellRow]] = {}
    for row in rows:
        if row.failed:
            struck.setdefault(row.headline, []).append(row)
    lines = []
    for why, where in list(struck.items())[:_ERRORS]:
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        lines.append(Text.assemble(("ERROR ", "bold red"), f"{named(where[0])}{more}: {why}"))
    if len(struck) > _ERRORS:
        lines.append(Text(f"and {len(struck) - _ERRORS} other errors; the table has them all", style="dim"))
    return lines
