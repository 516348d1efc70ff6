"""Writes a result in the format that a name's ending says. What a file may replace is known to `cli.saving`."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.cli.saving import Output, write_whole
from sway_gguf.core.result import SuiteResult
from sway_gguf.report.formats import format_of


def save(result: SuiteResult, path: Path, *, force: bool = False) -> Path:
    """Write `result` whole or not at all; gives the path back.

    Args:
        result: of a run.
        path: where to; its ending says how.
        force: replace a file that is no result.

    Raises:
        UserError: no format has this ending, or the file may not be replaced or cannot be written.
    """
    drawn = format_of(path)
    inputs = [Path(record.path) for record in result.files]
    Output(path, "save()", "result", inputs, force, proposes_force=False).check()
    write_whole(path, drawn.render(result))
    return path
