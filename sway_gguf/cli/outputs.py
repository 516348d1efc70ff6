"""The files that a command writes beside what it prints: one list of options, checked before the work.

Knows options and paths; what is written comes from the table of formats, or from the command itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sway_gguf.cli.saving import STDOUT, Output, check_outputs, deliver
from sway_gguf.core.errors import UserError

if TYPE_CHECKING:
    from sway_gguf.core.gate import GateDecision
    from sway_gguf.core.result import SuiteResult
    from sway_gguf.report.console import PlainConsole

Command = Callable[..., Any]
Writing = tuple[Output, Callable[[], str]]

_OPTIONS: Mapping[str, tuple[str, str]] = {
    "json": ("--json", "Write every number as JSON; - for stdout alone."),
    "html": ("--html", "Write the report as one HTML file, to be opened in any browser."),
    "md": ("--markdown", "Write the report as Markdown, for a pull request; - for stdout alone."),
    "junit": ("--junit", "Write JUnit XML, for a CI server; - for stdout alone."),
    "badge": ("--badge", "Draw the diagnosis as an SVG badge."),
    "card": ("--model-card", "Write metrics and a paragraph for a model card."),
    "svg": ("--svg", "Draw size against what is kept as SVG."),
}
"""By format: the option, and what it says of itself."""
RESULT_FORMATS = tuple(name for name in _OPTIONS if name != "svg")
"""Formats that a run is written in."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a command was told to write, by format."""

    paths: Mapping[str, str]

    @property
    def options(self) -> list[str]:
        """The options that were given."""
        return [_OPTIONS[name][0] for name in self.paths]

    @property
    def to_stdout(self) -> bool:
        """Whether one of them takes stdout, where nothing else may be printed then."""
        return STDOUT in self.paths.values()

    def checked(self, inputs: Sequence[Path], *, force: bool) -> dict[str, Output]:
        """Each as an output that can be written, by format.

        Raises:
            UserError: one cannot be written, or two are one file.
        """
        found = {name: Output(path, _OPTIONS[name][0], "result", inputs, force) for name, path in self.paths.items()}
        if len(streams := [output.option for output in found.values() if output.to_stdout]) > 1:
            raise UserError(f"{' and '.join(streams)} both to stdout; give all but one a file name")
        check_outputs(list(found.values()))
        return found


def output_options(*names: str) -> Callable[[Command], Command]:
    """The options of these formats; the command takes them as one argument, `outputs`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def gathered(*given: Any, **named: Any) -> Any:
            paths = {name: named.pop(f"{name}_path") for name in names}
            wanted = Outputs({name: path for name, path in paths.items() if path is not None})
            return command(*given, outputs=wanted, **named)

        decorated: Command = gathered
        for name in reversed(names):
            flag, about = _OPTIONS[name]
            decorated = click.option(flag, f"{name}_path", metavar="FILE", help=about)(decorated)
        return decorated

    return decorate


def deliver_in(
    outputs: Mapping[str, Output], drawn: Mapping[str, Callable[[], str]], draw: Callable[[PlainConsole], None]
) -> None:
    """Save a result in every format that is wanted, and draw it unless one goes to stdout.

    Args:
        outputs: by format, as `Outputs.checked` gives them.
        drawn: the text of each format; json is among them.
        draw: the report.

    Raises:
        UserError: as `deliver`.
    """
    deliver([(output, drawn[name]) for name, output in outputs.items()], draw, drawn["json"])


def texts_of(outputs: Mapping[str, Output], result: SuiteResult, decision: GateDecision | None = None) -> list[Writing]:
    """Each output with what draws a run's result in its format, for `deliver`."""
    from functools import partial

    from sway_gguf.report.formats import FORMATS

    return [(output, partial(FORMATS[name].render, result, decision)) for name, output in outputs.items()]
