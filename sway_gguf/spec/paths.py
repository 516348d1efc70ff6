"""The paths that a field may name, and where they are found. Opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from sway_gguf.core.inputs import at_home


def _one_or_several(value: Any) -> Any:
    several = isinstance(value, list) and value
    if not all(isinstance(each, str | Path) for each in (value if several else [value])):
        raise ValueError("a path, or a list of paths, is wanted")
    return value


Paths = Annotated[Path | list[Path], BeforeValidator(_one_or_several)]
"""A file, a pattern such as data/*.jsonl, a folder that `datasets` saved, or several of these."""


def each_of(given: Path | list[Path] | None) -> list[Path]:
    """All that a field names."""
    return given if isinstance(given, list) else [] if given is None else [given]


def placed(given: Path | list[Path] | None, folder: Path) -> Path | list[Path] | None:
    """Paths as they are found from a folder; None stays."""
    if isinstance(given, list):
        return [folder / at_home(each) for each in given]
    return None if given is None else folder / at_home(given)
