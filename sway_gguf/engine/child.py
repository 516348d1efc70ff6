"""Runs one function in a process of its own, which ends with it: by its result, its error, a signal, or our own end.

For what cannot be stopped from within (llama.cpp's quantizer), and for what memory and time are measured of. Knows
processes; not what runs in them.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar, cast

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.interrupt import SIGNALS, Interrupt

Given = ParamSpec("Given")
Result = TypeVar("Result")
_LOOK_EVERY = 0.2


def in_child(function: Callable[Given, Result], *args: Given.args, **named: Given.kwargs) -> Result:
    """`function(*args)` of a child process, which is gone afterwards; all of it must pickle.

    Raises:
        Exception: what the function raised.
        EngineError: the process died.
    """
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_work, args=(theirs, function, args, named), daemon=True)
    try:
        # A signal that another thread takes is handled here too; halfway through a start it would leave a child that
        # waits for the rest of its orders.
        with signals_kept_from_children(), Interrupt().watching():
            process.start()
        theirs.close()
        # Looking now and then lets a signal through on every system, and sees a death whatever holds the pipe open.
        while not ours.poll(_LOOK_EVERY) and process.is_alive():
            pass
        done, outcome = ours.recv() if ours.poll() else (False, None)
    except EOFError:
        done, outcome = False, None
    except BaseException:
        if process.pid is not None:
            process.kill()
        raise
    finally:
        theirs.close()
        ours.close()
        if process.pid is not None:
            process.join()
    if done:
        return cast(Result, outcome)
    raise outcome or EngineError(death_of(process.exitcode))


def _work(answers: Connection, function: Callable[..., Any], args: Any, named: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answers.send((True, function(*args, **named)))
    except Exception as error:
        answers.send((False, sendable(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def sendable(error: Exception) -> Exception:
    """The error itself where it can be made again from its pickle, else its words."""
    with suppress(Exception):
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def signals_kept_from_children() -> Iterator[None]:
    """Ctrl-C at a terminal reaches every process of its group; what to end is the parent's to decide."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It lets signals through again when it starts, so it must be running before.
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def death_of(code: int | None) -> str:
    """How a process ended that gave no result, in a line."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        cause = "; most often memory ran out: close other programs, or take a smaller -c" if -code == 9 else ""
        return f"the process was ended by {name}{cause}"
    return f"the process ended with exit code {code} and no result"
