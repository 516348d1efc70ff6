"""Where commands draw: the terminal itself, or plain lines for a pipe. Knows streams, not what is drawn."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def drawing() -> Iterator[Console]:
    """A console on stdout. For a pipe or a file, lines come out without colours and without trailing spaces."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        yield console
        return
    buffer = io.StringIO()
    yield Console(file=buffer, width=shutil.get_terminal_size().columns)
    click.echo("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()))
