"""`sway-gguf report`: a result that was saved, in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sway_gguf.cli.common import FILE, force_option
from sway_gguf.cli.output import drawing, say, say_json
from sway_gguf.report.formats import FORMATS

if TYPE_CHECKING:
    from sway_gguf.core.result import SuiteResult


@click.command(
    epilog="Example:  sway-gguf report result.json -o report.md -o junit.xml -o badge.svg",
)
@click.argument("result_path", metavar="RESULT.JSON", type=FILE)
@click.option(
    "--format", "name", type=click.Choice(list(FORMATS)), help="In place of what a file's ending says (.md, .xml, …)."
)
@click.option(
    "-o", "--output", "files", type=FILE, multiple=True, help="Where to, - for stdout; several times for several."
)
@force_option
def report(result_path: Path, name: str | None, files: tuple[Path, ...], force: bool) -> None:
    """Show what `--json RESULT.JSON` kept, on the terminal or in files. No model is loaded.

    Results of every earlier release are read.
    """
    from sway_gguf.cli.saving import STDOUT, Output, check_outputs
    from sway_gguf.core.errors import UserError
    from sway_gguf.core.result_json import read_result
    from sway_gguf.report.formats import format_of

    if len(streams := [path for path in files if str(path) == STDOUT]) > 1:
        raise UserError(f"-o {STDOUT} stands {len(streams)} times; give all but one a file name")
    named = [path for path in files if path not in streams]
    wanted = [
        (Output(path, "-o", "result", [result_path], force), name or format_of(path, ", or give --format").name)
        for path in named
    ]
    check_outputs([output for output, _ in wanted])
    result = read_result(result_path)
    for output, kind in wanted:
        output.save(FORMATS[kind].render(result))
    if streams or not files:
        _print(result, name or "terminal")


def _print(result: SuiteResult, name: str) -> None:
    if name == "terminal":
        from sway_gguf.report.terminal import print_result

        with drawing() as console:
            print_result(result, console)
    elif name == "json":
        say_json(FORMATS[name].render(result))
    else:
        say(FORMATS[name].render(result), end="")
