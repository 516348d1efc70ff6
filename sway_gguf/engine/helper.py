"""A process that calls functions for this one, one after the other; what ends it does not end us.

It is a plain program of this Python, so it can be had within any process: one that multiprocessing calls a daemon, as
Dask's workers are, may have no children of multiprocessing's. It ends with us, however we end: it reads from a pipe of
ours. Knows processes and pickles; not what is called.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, ParamSpec, TypeVar, cast

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.child import death_of, sendable

Given = ParamSpec("Given")
Result = TypeVar("Result")
_LENGTH = struct.Struct(">Q")
_LOOK_EVERY = 0.2
_SOON = 0.02
_GRACE = 5.0
"""Seconds that an idle process has to leave by itself."""
_LAST_WORDS = 2000
_PROGRAM = "from sway_gguf.engine.helper import serve; serve()"


class Helper:
    """At most one such process, started when it is first called and again after it died.

    Args:
        on_word: called, in the thread that waits, with what the called function `tell`s.
    """

    def __init__(self, on_word: Callable[[Any], None] = lambda word: None) -> None:
        self._on_word = on_word
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def call(self, function: Callable[Given, Result], *args: Given.args, **named: Given.kwargs) -> Result:
        """`function(*args)` of the process; all of it must pickle by name.

        Raises:
            Exception: what the function raised.
            EngineError: the process died of it; the next call has another.
        """
        with self._turn:
            process = self._started()
            try:
                with suppress(OSError):  # It died since: its end is told below.
                    _send(cast(IO[bytes], process.stdin), (function, args, named))
                kind, outcome = self._answer()
            except BaseException:
                self._end(process)
                raise
            if kind == "done":
                return cast(Result, outcome)
            if kind == "failed":
                raise outcome
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            words = self._last_words()
            self._end(process)
            raise EngineError(death_of(process.returncode) + (f" ({words})" if words else ""))

    def stop(self) -> None:
        """End the process, from any thread: one that is at work at once, so that who waits for it is told of its death;
        one that is not closes what it holds open."""
        while not self._turn.acquire(timeout=_SOON):
            # One that is being started is not there yet, and one that has died may be about to be followed by another.
            process = self._process
            if process is not None and process.poll() is None:
                process.kill()
                return
        try:
            process = self._process
            if process is None:
                return
            with suppress(OSError):
                cast(IO[bytes], process.stdin).close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            self._end(process)
        finally:
            self._turn.release()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._end(self._process)  # It ended while nothing was asked of it.
        # A session of its own: Ctrl-C at a terminal reaches every process of a group, and what to end is ours to say.
        apart: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        found_at = os.pathsep.join(place or os.getcwd() for place in sys.path)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"PYTHONPATH": found_at, "GGML_NO_BACKTRACE": "1"},
            **apart,
        )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()
        return self._process

    def _answer(self) -> tuple[str, Any]:
        while True:
            try:
                # Looking now and then lets a signal through on every system.
                kind, outcome = self._answers.get(timeout=_LOOK_EVERY)
            except queue.Empty:
                continue
            if kind != "word":
                return kind, outcome
            self._on_word(outcome)

    def _last_words(self) -> str:
        """The last line on stderr, where compiled code says why it gives up."""
        if self._said is None:
            return ""
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, end - _LAST_WORDS))
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._said):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process = self._said = None


def _send(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _received(stream: IO[bytes]) -> bytes | None:
    """One message; None where the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def _listen(stream: IO[bytes], answers: queue.SimpleQueue[tuple[str, Any]]) -> None:
    with suppress(OSError, ValueError):  # The stream is closed by who ends the process.
        while (data := _received(stream)) is not None:
            try:
                answers.put(pickle.loads(data))
            except Exception as error:
                answers.put(("failed", RuntimeError(f"{type(error).__name__}: {error}")))
    answers.put(("gone", None))


_out: IO[bytes] | None = None
_writing = threading.Lock()


def tell(word: Any) -> None:
    """In the other process: a word to the one that waits, such as how far the work is. Anywhere else nothing."""
    if _out is not None:
        with _writing:
            _send(_out, ("word", word))


def serve() -> None:
    """The other process: calls what is asked until nobody asks any more."""
    global _out
    # What libraries print must not be taken for an answer.
    _out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_hear, args=(asked, busy), daemon=True).start()
    while (data := asked.get()) is not None:
        try:
            function, args, named = pickle.loads(data)
            answer: tuple[str, Any] = ("done", function(*args, **named))
            packed = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            packed = pickle.dumps(("failed", sendable(error)))
        busy.clear()
        with _writing:
            _out.write(_LENGTH.pack(len(packed)) + packed)
            _out.flush()


def _hear(asked: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    while (data := _received(sys.stdin.buffer)) is not None:
        busy.set()
        asked.put(data)
    if busy.is_set():
        os._exit(1)  # Nobody waits for what is being done.
    asked.put(None)
