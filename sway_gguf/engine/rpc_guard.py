"""What happens where an RPC server goes away while it computes: one line and an end, in place of an abort or of a wait
without end. Knows processes, signals and sockets; nothing of models.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from sway_gguf.core.plain import one_line
from sway_gguf.engine.interrupt import SIGNALS, in_command
from sway_gguf.engine.library import end, ggml, last_words, logged

_EXIT_USER = 2
_GRACE = 5.0
"""Seconds that a call of llama.cpp may take to come back once the process was asked to end."""
_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 35_000}
"""A machine that is gone is noticed after 15 + 4 · 5 seconds of silence, and as soon (in milliseconds) where something
that was sent to it waits for its receipt: nothing asks whether it lives meanwhile."""
_NOWHERE = (0, 0)
"""Of a main thread that runs nothing of Python's: nothing can be said of it."""


def guard(servers: Sequence[str]) -> None:
    """Watch over this process from now on; to be called again when connections to the servers stand.

    ggml aborts where a server closes its connection: it says why first, and that becomes the one line. A machine that
    vanishes closes nothing, so its connection is kept alive by the system, which notices. A server that hangs keeps the
    main thread inside a call that no signal handler of Python's ends: a thread of its own does, in a command alone. A
    program that uses us may wait where it likes, and ends when it wants.
    """
    _listen_to_aborts()
    if in_command() and threading.current_thread() is threading.main_thread():
        _end_where_stuck()
    _keep_alive(servers)


@cache
def _listen_to_aborts() -> None:
    with suppress(AttributeError):
        ggml().ggml_set_abort_callback(_on_abort)


@ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]
def _on_abort(message: bytes) -> None:
    said = last_words(message)
    reason = logged()
    cause = f"{said} ({reason})" if reason else said
    _end(_EXIT_USER, f"an RPC server went away or answers otherwise, and llama.cpp ended: {cause}")


@cache
def _end_where_stuck() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if before != -1:  # Somebody else listens, such as an event loop.
        signal.set_wakeup_fd(before)
        return
    threading.Thread(target=_listen, args=(reading,), daemon=True).start()


def _listen(reading: int) -> None:
    while heard := os.read(reading, 64):
        asked = [number for number in heard if number in SIGNALS]
        if asked:
            before = _where()
            time.sleep(_GRACE)
            if before != _NOWHERE and _where() == before:
                _end(128 + asked[0], "stopped; an RPC server did not answer")


def _where() -> tuple[int, int]:
    """Where the main thread stands: the same as before means that it never came back from a call."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return _NOWHERE if frame is None else (id(frame), frame.f_lasti)


def _end(code: int, said: str) -> None:
    end(code, f"{one_line(said)}; nothing half-written is left")


def _keep_alive(servers: Sequence[str]) -> None:
    """Set it on the library's own sockets, which this process has among its open files."""
    places = set[tuple[str, int]]()
    for server in servers:
        host, _, port = server.partition(":")
        with suppress(OSError):
            places |= {(str(at[4][0]), int(at[4][1])) for at in socket.getaddrinfo(host, int(port), socket.AF_INET)}
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError, ValueError):
                if Path("/proc/self/fd", name).readlink().name.startswith("socket:"):
                    _one_alive(int(name), places)


def _one_alive(number: int, places: set[tuple[str, int]]) -> None:
    with socket.socket(fileno=os.dup(number)) as connection:
        if connection.family == socket.AF_INET and connection.getpeername() in places:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _ALIVE.items():
                if hasattr(socket, option):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
