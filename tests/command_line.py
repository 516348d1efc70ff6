"""The command line as a process has it, from its words to its exit code, without starting one: for what takes longer to
import than to run. Whole runs go through a process of their own (`test_cli.py`)."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from sway_gguf.cli.main import main


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def spoken(*words: str) -> Done:
    """Run `sway-gguf` with these words here; signals are what they were afterwards."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in signal.Signals}
    code: object = None
    try:
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            patch.object(sys, "argv", ["sway-gguf", *words]),
            patch.object(sys, "unraisablehook", sys.unraisablehook),
        ):
            main()
    except SystemExit as ended:
        code = ended.code
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
    assert isinstance(code, int | None)
    return Done(code or 0, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")
