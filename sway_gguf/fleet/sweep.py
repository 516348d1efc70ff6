"""A sweep from its cells to the rows of its table.

Knows what was measured before; not how a cell is measured, nor who shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from sway_gguf.core.sweep import CellRow
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.hand import Outcome
from sway_gguf.fleet.pools import Pool
from sway_gguf.fleet.rows import row_of
from sway_gguf.fleet.table import Table, read_rows


class Show(Protocol):
    """Shows a sweep while it runs."""

    def start(self, total: int, done: int, workers: int) -> None:
        """So many cells are there, and so many of them were measured before."""

    def began(self, cell: Cell, worker: str) -> None:
        """A worker was given a cell."""

    def shared(self, cell: Cell, share: float) -> None:
        """So much of a cell is done, from 0 to 1."""

    def row(self, row: CellRow) -> None:
        """A row was added to the table."""

    def say(self, line: str) -> None:
        """Something worth a line."""


def sweep(cells: Sequence[Cell], table: Table, pool: Pool, show: Show) -> list[CellRow]:
    """Measure the cells that the table has not; a row for each, in their order.

    An ERROR of an earlier start is tried again, and so is what another build measured.

    Raises:
        UserError: the workers do not fit together or went away, or the disk takes no more; the rows so far are kept.
    """
    with pool:
        build = pool.build()
        known = measured(cells, table.folder, show.say, build)
        show.start(len(cells), len(known), pool.workers)
        keeping = _Keeping(table, show)
        pool.run([cell for cell in cells if cell.key not in known], keeping)
    rows = known | keeping.rows
    return [rows[cell.key] for cell in cells]


def measured(
    cells: Sequence[Cell], folder: Path, say: Callable[[str], None], build: str | None = None
) -> dict[str, CellRow]:
    """Rows of cells that need not be measured again, by key.

    Args:
        cells: that are wanted.
        folder: of the table, which may hold others.
        say: told of what is left aside.
        build: of what will measure; None for any.
    """
    found = {row.key: row for row in read_rows(folder, say) if not row.failed}
    rows = [found[cell.key] for cell in cells if cell.key in found]
    there = [row for row in rows if (folder / row.result).is_file()]
    same = [row for row in there if build in (None, row.build)]
    if lost := len(rows) - len(there):
        say(f"{lost} results that the table names are not there; their cells are measured again")
    if other := len(there) - len(same):
        say(f"{other} cells were measured by another build; they are measured again")
    return {row.key: row for row in same}


class _Keeping:
    """Keeps each outcome before it is shown."""

    def __init__(self, table: Table, show: Show) -> None:
        self._table, self._show = table, show
        self.rows: dict[str, CellRow] = {}
        self._why = ""

    def began(self, cell: Cell, worker: str) -> None:
        """A worker was given a cell."""
        self._why = ""
        self._show.began(cell, worker)

    def shared(self, cell: Cell, share: float) -> None:
        """So much of a cell is done."""
        self._show.shared(cell, share)

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """Something came of a cell."""
        row = row_of(cell, outcome)
        self._table.keep(row, "" if row.failed else outcome.record)
        self.rows[cell.key] = row
        self._show.row(row)

    def waiting(self, why: str) -> None:
        """Nothing goes on; said once until it does."""
        if why != self._why:
            self._why = why
            self._show.say(why)
