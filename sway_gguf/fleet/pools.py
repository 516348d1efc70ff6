"""Where cells are measured: the form that every pool has, and the pool of this machine alone.

Knows cells, workers and who is told; not what becomes of an outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from sway_gguf.fleet.assign import Assignment
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.hand import Build, Measure, Outcome, build_of
from sway_gguf.fleet.worker import Worker, worker_name


class Watcher(Protocol):
    """Is told how a sweep goes, in the thread that waits for it."""

    def began(self, cell: Cell, worker: str) -> None:
        """A worker was given a cell."""

    def shared(self, cell: Cell, share: float) -> None:
        """So much of a cell is done, from 0 to 1; told where it is known."""

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """Something came of a cell; each cell ends once."""

    def waiting(self, why: str) -> None:
        """Nothing goes on, and why."""


class Pool(Protocol):
    """Measures cells; to be used in a `with` block."""

    @property
    def workers(self) -> int:
        """How many there are."""

    def build(self) -> str | None:
        """Digest of what computes there, looked at before the first cell; None where workers may differ in it.

        Raises:
            UserError: workers differ in it, or there are none.
        """

    def run(self, cells: Sequence[Cell], watcher: Watcher) -> None:
        """Measure all of them.

        Raises:
            UserError: the pool broke down as a whole.
        """

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release everything."""


class Here:
    """This process with one beside it, one base at a time.

    Args:
        measure: measures a cell.
        build: of what does, looked at in the process that does.
    """

    workers = 1

    def __init__(self, measure: Measure, build: Callable[[], Build] = build_of) -> None:
        self._measure, self._build_of = measure, build
        self._on_share: Callable[[float], None] = lambda share: None
        self._worker = Worker(lambda share: self._on_share(share))

    def build(self) -> str:
        """Digest of what computes here."""
        return self._worker.call(self._build_of).digest

    def run(self, cells: Sequence[Cell], watcher: Watcher) -> None:
        """Measure all of them, base by base."""
        name, waiting = worker_name(), Assignment(cells)
        while (cell := waiting.take(name)) is not None:
            watcher.began(cell, name)
            self._on_share = partial(watcher.shared, cell)
            watcher.ended(cell, self._worker.outcome(self._measure, cell))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._worker.stop()
