"""The command line as a process has it, from its words to its exit code, without starting one: the imports of a process
take longer than most commands. `apart` starts one, for what only a process shows."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

import click
import pytest

from sway_gguf.cli.main import cli, main
from sway_gguf.core.errors import UserError


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


COMMAND = (sys.executable, "-c", "from sway_gguf.cli.main import main; main()")
"""A process that is `sway-gguf`."""


def apart(*words: str, timeout: float = 180) -> Done:
    """Run `sway-gguf` with these words in a process of its own."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=timeout, encoding="utf-8")
    return Done(done.returncode, done.stdout, done.stderr)


def succeeded(*words: str) -> str:
    """What a command prints that succeeds, and says nothing but how far it is and, on a busy machine, will be."""
    done = spoken(*words)
    said = [line for line in done.stderr.splitlines() if not re.match(r"\d+% done, |[\d,]+ tokens to evaluate\.", line)]
    assert (done.returncode, said) == (0, [])
    return done.stdout


def complaint(*words: str) -> str:
    """The one line of a command that refuses its input."""
    done = spoken(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith(("sway-gguf:", "Error:"))
    return lines[-1]


def refused(*words: object) -> str:
    """What a command says of input that it refuses, before its words go to any stream."""
    with pytest.raises((UserError, click.UsageError)) as told:
        cli.main(list(map(str, words)), standalone_mode=False)
    said = str(told.value)
    assert "\n" not in said
    return said


def spoken(*words: str, encoding: str = "utf-8") -> Done:
    """Run `sway-gguf` with these words here, its streams in an encoding; signals are what they were afterwards."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2))
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
    return buffer.getvalue().decode(stream.encoding)
