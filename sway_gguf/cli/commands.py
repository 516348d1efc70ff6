"""The subcommands by name, each with its line in --help. A command's file is imported when the command is wanted.

Knows names, files and one line of each; not what any of them does.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click

LINES = {
    "demo": "Test adapters of an embedded model, or of a real one.",
    "check": "Test an adapter on a base, without a spec.",
    "run": "Run the suite of a spec.",
    "gate": "Run a suite, or read its result, and exit by the verdict.",
    "report": "Write a saved result in another format.",
    "compare": "Tell what changed between runs of one suite.",
    "diff": "Compare two adapters on one load of their base.",
    "pick": "Pick the checkpoint and the scale that ship.",
    "sweep": "Measure a grid of adapters, bases, scales, seeds and suites.",
    "init": "Write a suite from your training data.",
    "mine": "Pick hard cases from a pool, for the next adapter.",
    "watch": "Test an adapter each time it changes.",
    "serve": "Run suites that are asked for over HTTP.",
    "served": "Does a running server serve this adapter?",
    "inspect": "Show what is in the files, and whether they fit.",
    "doctor": "Look over this build, the files and their fit.",
    "convert": "Write a PEFT or MLX folder as a LoRA GGUF.",
    "merge": "Write base and adapter as one GGUF.",
    "quants": "Measure what survives quantizing and merging.",
    "null": "Write a null adapter.",
    "probes": "List what can be measured.",
    "schema": "Print the JSON Schema of the result that --json writes.",
    "trace": "Sum up where the time of a run went.",
    "pack": "Put a run in one archive, to be repeated elsewhere.",
    "unpack": "Unpack a run, and repeat it.",
    "store": "Look at, empty or check the answers that are kept.",
}
_FILES = {"schema": "run", "unpack": "pack"}
"""Of commands that stand in another's file."""


class Commands(MutableMapping[str, click.Command]):
    """Every command by its name, imported when it is looked up."""

    def __init__(self) -> None:
        self._known: dict[str, click.Command | None] = dict.fromkeys(LINES)

    def __getitem__(self, name: str) -> click.Command:
        command = self._known[name]
        if command is None:
            command = getattr(import_module(f"sway_gguf.cli.{_FILES.get(name, name)}"), name)
            assert isinstance(command, click.Command)
            self._known[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class Listed(click.Group):
    """A group that lists `Commands` without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A name and a line of each."""
        with formatter.section("Commands"):
            names = self.list_commands(ctx)
            formatter.write_dl([(name, LINES.get(name) or self.commands[name].get_short_help_str()) for name in names])
