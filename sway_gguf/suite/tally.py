"""Counts the tokens of a run, view by view. Knows what backends tell of their work; neither questions nor answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sway_gguf.engine.doors import DoorBackend
from sway_gguf.engine.open_view import OnTokens


class Tally:
    """What the visits of a run took. Several threads may count at once.

    A view that was begun ahead and then not needed is evaluated all the same; how far it came hangs on the clock, so it
    stands apart from what every equal run takes.

    Attributes:
        evaluated, from_store: tokens of the visits that were taken.
    """

    def __init__(self) -> None:
        self._adding = Lock()
        # With the visit itself, so that no later one takes its place.
        self._open: dict[int, tuple[object, int, int]] = {}
        self.evaluated = self.from_store = 0

    @contextmanager
    def counting(self, visit: object, backend: DoorBackend, told: OnTokens | None) -> Iterator[OnTokens]:
        """Counts a visit while the block lasts, however it ends; `backend` answers nobody else meanwhile.

        Yields what is to be told the tokens, and tells them to `told`.
        """
        heard, kept_before = 0, backend.tokens_from_store

        def progress(tokens: int) -> None:
            nonlocal heard
            heard += tokens
            if told:
                told(tokens)

        try:
            yield progress
        finally:
            kept = backend.tokens_from_store - kept_before
            with self._adding:
                self._open[id(visit)] = visit, heard - kept, kept

    def take(self, visit: object) -> None:
        """A visit that was counted belongs to the result."""
        with self._adding:
            _, evaluated, kept = self._open.pop(id(visit))
        self.evaluated += evaluated
        self.from_store += kept

    @property
    def dropped(self) -> int:
        """Tokens that were evaluated for visits which nobody took."""
        return sum(evaluated for _, evaluated, _ in self._open.values())

    @property
    def timings(self) -> dict[str, float]:
        """All three by the names that a result has for them."""
        counts = {"tokens": self.evaluated, "tokens_from_store": self.from_store, "tokens_dropped": self.dropped}
        return {name: float(count) for name, count in counts.items()}
