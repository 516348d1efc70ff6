"""A file of results that grows cell by cell: one line of JSON each, so that a study that was stopped goes on.

Knows lines, names and the clock; nothing of what was measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


class Cells:
    """Results by part and name.

    Args:
        path: of the file; None keeps them in memory alone.
        seconds: after which `wanted` gives no further name, for a study in pieces; None for all of it.

    Raises:
        ValueError: a line before the last is no result. What a stopped write left of the last one is dropped.
    """

    def __init__(self, path: Path | None, seconds: float | None = None) -> None:
        self._path, self._end = path, None if seconds is None else time.monotonic() + seconds
        self._found: dict[tuple[str, str], Cell] = {}
        if path is None or not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            path.write_bytes(b"".join(lines[:-1]))
            lines.pop()
        for number, line in enumerate(lines, 1):
            try:
                cell = json.loads(line)
                self._found[cell["part"], cell["name"]] = cell
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: no result ({error})") from error

    def wanted(self, part: str, names: Iterator[str] | list[str]) -> Iterator[str]:
        """Those of `names` that were not measured yet, while there is time; says each as it begins."""
        for name in names:
            if (part, name) in self._found:
                continue
            if self._end is not None and time.monotonic() > self._end:
                print(f"{part}: time is up before {name}", flush=True)
                return
            start = time.monotonic()
            yield name
            print(f"{part}: {name} ({time.monotonic() - start:.1f} s)", flush=True)

    def add(self, part: str, name: str, **found: Any) -> None:
        """Keep a result, whole or not at all."""
        cell = {"part": part, "name": name, **found}
        self._found[part, name] = cell
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cell, ensure_ascii=False, separators=(",", ":")) + "\n")

    def of(self, part: str) -> list[Cell]:
        """All results of a part, in the order in which they were measured."""
        return [cell for (of, _), cell in self._found.items() if of == part]


def short(value: float | None) -> float | None:
    """Five digits: more of them would only make the file larger."""
    return None if value is None else float(f"{value:.5g}")
