"""Where commands print: consoles on which words are never markup, and a stdout whose failure is told.

Knows streams, not what is drawn. Every line that a command prints goes through here, so no text of a user, a model or
a file can steer a terminal.
"""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sway_gguf.core.errors import UserError
from sway_gguf.core.plain import ascii_json, plain

if TYPE_CHECKING:
    from sway_gguf.report.console import PlainConsole

_IN_ASCII = {
    "–": "-", "…": "...", "±": "+-", "×": "x", "·": "*", "→": "->", "≥": ">=", "≤": "<=", "√": "sqrt", "‖": "||",
    "λ": "lambda", "Δ": "D", "Σ": "sum", "α": "alpha", "β": "beta", "σ": "s", "−": "-", "ȳ": "y", "’": "'",
}  # fmt: skip
_FALLBACK = "sway-gguf-fallback"


class OutputError(UserError):
    """Stdout cannot be written."""


class ReaderGoneError(Exception):
    """Nobody reads stdout any more, as under `| head`: no error, and nothing to say."""


def in_any_encoding() -> None:
    """Let stdout and stderr print our own characters in whatever encoding they have."""
    codecs.register_error(_FALLBACK, _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_FALLBACK)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(one) or one.encode("ascii", "backslashreplace").decode() for one in wrong), error.end


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print `text` as text, on stdout or stderr.

    Raises:
        OutputError: stdout cannot be written.
        ReaderGoneError: nobody reads it.
    """
    with _told():
        print(_safe(text), end=end, file=sys.stderr if err else sys.stdout)


def _safe(text: str) -> str:
    """`text` as text, also to a step of GitHub Actions."""
    if not in_github():
        return plain(text)
    from sway_gguf.report.github import disarmed

    return disarmed(plain(text))


def in_github() -> bool:
    """Whether a step of GitHub Actions reads what is printed, and obeys lines that look like commands."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def say_command(line: str) -> None:
    """Print a workflow command of GitHub Actions, on stderr: the runner reads it there as well."""
    print(plain(line), file=sys.stderr, flush=True)


def say_json(text: str) -> None:
    """Print JSON on stdout, whatever characters stdout knows.

    Raises:
        OutputError: stdout cannot be written.
    """
    known = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(known)
    except UnicodeEncodeError:
        text = ascii_json(text)
    # It is found in strings alone, and means the same there.
    say(text.replace("##[", "##\\u005b") if in_github() else text, end="")


@contextmanager
def drawing() -> Iterator[PlainConsole]:
    """A console on stdout. For a pipe or a file, lines come out without colours and without trailing spaces.

    Raises:
        OutputError: stdout cannot be written.
    """
    from sway_gguf.report.console import PlainConsole

    console = PlainConsole()
    if console.is_terminal:
        with _told():
            yield console
        return
    buffer = io.StringIO()
    yield PlainConsole(buffer, width=shutil.get_terminal_size().columns)
    say("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))


@contextmanager
def _told() -> Iterator[None]:
    """Flush stdout after the block, and tell where it is full. A reader that went away is another matter."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError as error:
        silence()
        raise ReaderGoneError from error
    except OSError as error:
        silence()
        raise OutputError(f"stdout cannot be written ({error.strerror or error}); send it elsewhere") from error


def silence() -> None:
    """Send what stdout still holds nowhere, so that Python does not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
