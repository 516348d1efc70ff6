"""The `sway-gguf` command: gathers the subcommands and is the one place where errors become exit codes.

A command's file is imported when it is called, and imports what is heavy inside its functions: --help answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from sway_gguf import __version__
from sway_gguf.cli.commands import Commands, Listed
from sway_gguf.cli.output import ReaderGoneError, in_any_encoding, say, silence
from sway_gguf.core.errors import OUT_OF_MEMORY, EngineError, UserError
from sway_gguf.core.plain import one_line
from sway_gguf.engine.interrupt import end_on_signals, exit_code, was_asked

EXIT_USER, EXIT_INTERNAL = 2, 70


@click.group(
    cls=Listed,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sway-gguf")
def cli() -> None:
    """Did your LoRA adapter change the model? A calibrated verdict on the GGUF files that ship.

    \b
    Try it:         sway-gguf demo
    Your own files: sway-gguf check base.gguf adapter.gguf --data train.md
    """


def main() -> None:
    """Run the command line and exit.

    0 done, 1 a gate failed, 2 wrong input, 3 inconclusive in a strict gate, 70 our own fault, 130 Ctrl-C, 143 SIGTERM.
    """
    in_any_encoding()
    end_on_signals()
    try:
        code = cli.main(standalone_mode=False)  # Click returns what an Exit said; no command returns anything.
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        say(shown.getvalue(), err=True, end="")
        sys.exit(EXIT_USER)
    except (UserError, EngineError) as error:
        _end(one_line(str(error)))
    except (KeyboardInterrupt, click.Abort):
        _end_interrupted()
    except ReaderGoneError:
        sys.exit(0)
    except MemoryError:
        _end(OUT_OF_MEMORY)
    except OSError as error:
        # No fault of ours and no wrong word: a disk that is full, a file that went away, a stdout that takes nothing.
        where = f"{error.filename}: " if error.filename else ""
        words = one_line(f"{where}{error.strerror or error}")
        if sys.stdout is not None:
            silence()
        _end(OUT_OF_MEMORY if error.errno == errno.ENOMEM else f"{words}; nothing half-written is left")
    except Exception as error:
        if was_asked():
            _end_interrupted()
        if str(error) == "can't start new thread":  # in Python's words, for want of room for its stack
            _end(OUT_OF_MEMORY)
        if os.environ.get("SWAY_GGUF_DEBUG"):
            raise
        words = one_line(f"{type(error).__name__}: {error}")
        _end(f"internal error: {words} (SWAY_GGUF_DEBUG=1 shows where)", EXIT_INTERNAL)


def _end(said: str, code: int = EXIT_USER) -> NoReturn:
    """Say why in a line, and exit."""
    say(f"sway-gguf: {said}", err=True)
    sys.exit(code)


def _end_interrupted() -> NoReturn:
    """Say so and be gone: threads that hash or evaluate for nobody now are not waited for."""
    with suppress(OSError):
        say("sway-gguf: stopped; nothing half-written is left", err=True)
    os._exit(exit_code())
