"""Turns at the set of adapters that a llama.cpp model keeps. Knows when llama.cpp reads and changes it; calls nothing.

Loading an adapter onto a model and freeing one change the set, and a context walks through it whenever it lays out its
memory: as it is made, and at the first batch after its adapter changed. llama.cpp guards none of this, so contexts of
one model that work in several threads take turns by the model's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class LayoutTurn:
    """One context's turns: a batch keeps the others waiting only until its memory is laid out.

    Args:
        lock: the model's.

    Attributes:
        due: whether the next batch lays memory out.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._held = False
        self.due = True

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The length of a batch; the turn ends with it at the latest."""
        if not self.due:
            yield
            return
        self._lock.acquire()
        self._held = True
        try:
            yield
            self.due = False
        finally:
            self.over()

    def over(self) -> None:
        """The memory is laid out, as it is where llama.cpp calls back from the first operation of a batch."""
        if self._held:
            self._held = False
            self._lock.release()
