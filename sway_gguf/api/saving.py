"""Writes a result in the format that a name's ending says. What a file may replace is known to `cli.saving`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sway_gguf.cli.saving import Output, write_whole
from sway_gguf.core.errors import UserError
from sway_gguf.core.result import SuiteResult
from sway_gguf.core.result_json import to_json

FORMATS: Mapping[str, Callable[[SuiteResult], str]] = {".json": to_json}
"""By the ending of a file's name, what it is written with."""


def save(result: SuiteResult, path: Path, *, force: bool = False) -> Path:
    """Write `result` whole or not at all; gives the path back.

    Args:
        result: of a run.
        path: where to; its ending says how.
        force: replace a file that is no result.

    Raises:
        UserError: no format has this ending, or the file may not be replaced or cannot be written.
    """
    draw = FORMATS.get(path.suffix.lower())
    if draw is None:
        raise UserError(f"{path}: no format has the ending {path.suffix!r}; give one of {', '.join(FORMATS)}")
    inputs = [Path(record.path) for record in result.files]
    Output(path, "save()", "result", inputs, force, proposes_force=False).check()
    write_whole(path, draw(result))
    return path
