"""Lets signals end a run cleanly, also where Python's own handlers would wait or be swallowed. Knows signals only."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)
"""What asks a process to end."""

_AGAIN_AFTER, _MOST_AGAIN = 0.05, 8
"""Seconds until a signal is sent once more, and how often at most."""
_IMPORTER = "<frozen importlib._bootstrap>"
_everyone, _command = threading.Event(), threading.Event()
_here = threading.local()
_received: list[int] = []


def stop_everyone() -> None:
    """Stop the evaluations of all threads; signals reach the main thread alone."""
    _everyone.set()


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Let `event`, and no other, stop what this thread evaluates while the block lasts; other threads go on."""
    before, _here.event = _event(), event
    try:
        yield
    finally:
        _here.event = before


def end_on_signals() -> None:
    """Let every signal that asks the process to end raise KeyboardInterrupt, as Ctrl-C does; for a command's start.

    Signals that the process was started to ignore, as by nohup, stay ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _raise)
    sys.unraisablehook = _redelivered
    _command.set()


def in_command() -> bool:
    """Whether this process is a command's own, and no program that uses us and no child."""
    return _command.is_set()


def exit_code() -> int:
    """What a process that a signal ended exits with by custom: 128 and the signal's number, 130 for Ctrl-C."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def was_asked() -> bool:
    """Whether a signal came that `end_on_signals` heard; what fails after it fails for that."""
    return bool(_received)


def _event() -> threading.Event | None:
    """What stops this thread."""
    return getattr(_here, "event", None)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    # Modules that are being imported catch what they should not; most imports are over in a moment.
    if len(_received) < _MOST_AGAIN and _importing(frame):
        _send_again(number)
    else:
        raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTER:
            return True
        frame = frame.f_back
    return False


def _redelivered(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came where Python drops exceptions: in a callback from C, or while an object died."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _send_again(_received[0] if _received else signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)


def _send_again(number: int) -> None:
    again = threading.Timer(_AGAIN_AFTER, _thread.interrupt_main, (number,))
    again.daemon = True
    again.start()


class Interrupt:
    """Whether a signal has asked to end while `watching`; llama.cpp's callbacks read `asked`."""

    def __init__(self) -> None:
        self._noted: list[int] = []
        self._event: threading.Event | None = None

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return bool(self._noted) or _everyone.is_set() or (self._event is not None and self._event.is_set())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note signals for the length of the block, and hand them on after it.

        Only the main thread gets signals; in others, `stop_everyone` and the event of `stopped_by` are seen.

        Raises:
            KeyboardInterrupt: one came, after the block has ended.
        """
        self._noted.clear()
        # llama.cpp may call back from a thread of its own, which has no event.
        self._event = _event()
        usual: dict[int, Callable[[int, FrameType | None], object]] = {}
        if threading.current_thread() is threading.main_thread():
            _everyone.clear()
            usual = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
        try:
            for number in usual:
                signal.signal(number, self._note)
            yield
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)
        for number in self._noted:
            usual[number](number, None)
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted.append(number)


def go_on() -> None:
    """Ask in the midst of long work whether to go on with it.

    Raises:
        KeyboardInterrupt: this thread was asked to stop.
    """
    with Interrupt().watching():
        return
