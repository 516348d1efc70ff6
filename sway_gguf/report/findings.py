"""Draws one finding of `doctor`. Renders words and nothing else."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {"OK": "bold green", "WARN": "bold yellow", "FAIL": "bold red"}


def print_finding(name: str, status: str, text: str, console: Console) -> None:
    """One line, folded where it is long."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=4)
    table.add_column(no_wrap=True, min_width=17)
    table.add_column(overflow="fold")
    table.add_row(Text(status, style=_STYLES[status]), Text(name, style="bold"), text)
    console.print(table)
