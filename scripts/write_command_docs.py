"""Writes docs/commands.md from the commands' own help. A test holds that it is current.

python scripts/write_command_docs.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sway_gguf.cli.main import cli

DOCS = Path(__file__).parents[1] / "docs" / "commands.md"
_OPENING = """# Commands

What every command says of itself with `--help`. Each example is run by a test.
"""
_WIDTH = 100


def document() -> str:
    """The page."""
    parts = [_OPENING, *_section(cli, "sway-gguf")]
    for name, command in cli.commands.items():
        parts += _section(command, f"sway-gguf {name}")
        for part, below in command.commands.items() if isinstance(command, click.Group) else ():
            parts += _section(below, f"sway-gguf {name} {part}")
    return "\n".join(parts)


def _section(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, terminal_width=_WIDTH, max_content_width=_WIDTH)
    lines = command.get_help(context).splitlines()
    yield f"## {path.removeprefix('sway-gguf ')}" if path != "sway-gguf" else "## All of them"
    yield ""
    yield "```"
    yield from (line.rstrip() for line in lines)
    yield "```"
    yield ""


if __name__ == "__main__":
    DOCS.write_text(document(), encoding="utf-8", newline="\n")
