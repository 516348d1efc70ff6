"""Which worker gets which cell: one that has a base loaded gets that base's cells. Knows bases and workers by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sway_gguf.fleet.cell import Cell


class Assignment:
    """Cells that wait, and the base that each worker has loaded.

    Args:
        cells: in the order in which those of one base are to go.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._waiting: dict[str, deque[Cell]] = {}
        self._loaded: dict[str, str] = {}
        for cell in cells:
            self._waiting.setdefault(_base(cell), deque()).append(cell)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self, worker: str) -> Cell | None:
        """The next cell for a worker that is free; None where none waits.

        It goes on with its own base while that has cells; then with the one that has most of them for each worker
        already at it, so that as few bases as may be are loaded, and no worker rests while cells wait.
        """
        waiting = [base for base, cells in self._waiting.items() if cells]
        if not waiting:
            return None
        own = self._loaded.get(worker)
        base = own if own in waiting else max(waiting, key=self._need)
        self._loaded[worker] = base
        return self._waiting[base].popleft()

    def give_back(self, cell: Cell, worker: str) -> None:
        """A cell whose worker was lost: it goes first, and the worker has nothing loaded."""
        self._loaded.pop(worker, None)
        self._waiting.setdefault(_base(cell), deque()).appendleft(cell)

    def _need(self, base: str) -> float:
        at_it = sum(loaded == base for loaded in self._loaded.values())
        return len(self._waiting[base]) / (1 + at_it)


def _base(cell: Cell) -> str:
    return cell.digests["base"] or cell.base
