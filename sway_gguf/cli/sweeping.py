"""Shows a sweep while it runs: a live table on a terminal, elsewhere a line for each cell, on stderr.

Knows cells and rows; not how they come about.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sway_gguf.cli.output import say
from sway_gguf.core.sweep import ERROR, CellRow
from sway_gguf.report import numbers

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from sway_gguf.fleet.cell import Cell

_LATEST = 8
"""Rows that are shown while others run."""
_A_SECOND = 4


class LiveSweep:
    """Shows how far a sweep is, while a block lasts."""

    def __init__(self) -> None:
        from sway_gguf.report.console import PlainConsole

        self._console = PlainConsole(on_stderr=True)
        self._live: Live | None = None
        self._running: dict[str, tuple[Cell, float, float]] = {}
        self._latest: deque[CellRow] = deque(maxlen=_LATEST)
        self._counts: Counter[str] = Counter()
        self._total = self._before = self._done = 0
        self._workers, self._began = 1, time.monotonic()

    def start(self, total: int, done: int, workers: int) -> None:
        """So many cells are there, and so many of them were measured before."""
        self._total, self._before, self._workers = total, done, workers
        self._began = time.monotonic()
        if done:
            self.say(f"{done} of {total} cells were measured before")
        if self._console.is_terminal and done < total:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._drawn, console=self._console, transient=True, refresh_per_second=_A_SECOND
            )
            self._live.start()

    def began(self, cell: Cell, worker: str) -> None:
        """A worker was given a cell; one that is given again begins anew."""
        self._running[cell.key] = cell, time.monotonic(), 0.0

    def shared(self, cell: Cell, share: float) -> None:
        """So much of a cell is done."""
        if cell.key in self._running:
            self._running[cell.key] = *self._running[cell.key][:2], share

    def row(self, row: CellRow) -> None:
        """A row was added to the table."""
        from sway_gguf.report.sweep import row_line

        self._running.pop(row.key, None)
        self._done += 1
        self._counts[row.diagnosis] += 1
        self._latest.append(row)
        if self._live is None:
            say(f"{self._before + self._done}/{self._total}  {row_line(row).plain}", err=True)
        elif row.failed:
            self._live.console.print(row_line(row))

    def say(self, line: str) -> None:
        """Something worth a line."""
        if self._live is None:
            say(f"sway-gguf: {line}", err=True)
        else:
            self._live.console.print(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        from sway_gguf.report.sweep import live_table

        now = time.monotonic()
        running = [(str(cell), now - began, share) for cell, began, share in list(self._running.values())]
        return Group(live_table(list(self._latest), running), Text(self._head(now)))

    def _head(self, now: float) -> str:
        parts = [f"{self._before + self._done} of {self._total} cells"]
        parts += [f"{self._counts[ERROR]} {ERROR}"] if self._counts[ERROR] else []
        left = self._total - self._before - self._done
        if self._done and left:
            parts.append(f"{numbers.about((now - self._began) / self._done * left)} left")
        return ", ".join(parts)
