"""Lets Ctrl-C stop a running evaluation, for which Python's own handler would wait. Knows signals only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_everyone = threading.Event()


def stop_everyone() -> None:
    """Stop the evaluations of all threads; signals reach the main thread alone."""
    _everyone.set()


class Interrupt:
    """Whether the user has pressed Ctrl-C while `watching`; llama.cpp's abort callback reads `asked`."""

    def __init__(self) -> None:
        self._pressed = False

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self._pressed or _everyone.is_set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Catch SIGINT for the length of the block; in other threads than the main one, only `stop_everyone`.

        Raises:
            KeyboardInterrupt: it came, after the block has ended.
        """
        self._pressed = False
        if threading.current_thread() is threading.main_thread():
            _everyone.clear()
            previous = signal.signal(signal.SIGINT, self._press)
            try:
                yield
            finally:
                signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
        else:
            yield
        if self.asked:
            raise KeyboardInterrupt

    def _press(self, *_: object) -> None:
        self._pressed = True
