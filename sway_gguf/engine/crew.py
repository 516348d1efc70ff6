"""How workers side by side share the processor's threads: who is left alone gets those of the others.

A batch asks when it starts; the number changes no bit of an answer. Knows counts only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sway_gguf.core.engine_settings import Workers


class Crew:
    """Workers, of which some are at work.

    Args:
        alone: how a single view is answered: what one worker gets at most.
        together: how many workers there are, with their threads while all are at work.

    Attributes:
        least: what each gets while all are at work.
    """

    def __init__(self, alone: Workers, together: Workers) -> None:
        self._most, self.least = max(alone.threads, together.threads), together.threads
        self._all = max(alone.threads, together.number * together.threads)
        self._busy = 0
        self._lock = Lock()

    @property
    def threads(self) -> int:
        """Of each worker, now."""
        return max(self.least, min(self._most, self._all // max(1, self._busy)))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The length of a worker's view."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
