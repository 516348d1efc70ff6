"""A file of results that grows cell by cell: one line of JSON each, so that a study that was stopped goes on.

Between two sittings the code may change, or the machine: a line before its first result says of which session what
stands below it is. Knows lines, names and the clock; nothing of what was measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
SESSION = "machine"
"""The part of the lines that begin a session."""
_BESIDE = {"part", "name", "load average before"}
"""Of a session: what no result hangs on."""


@dataclass(frozen=True)
class Session:
    """What results were measured on and by, empty where their file does not say, and the results by part and name."""

    about: Cell
    found: dict[tuple[str, str], Cell] = field(default_factory=dict)


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
        self._sessions = [Session({})]
        self._coming: Cell | None = None
        if path is None or not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            path.write_bytes(b"".join(lines[:-1]))
            lines.pop()
        for number, line in enumerate(lines, 1):
            try:
                self._keep(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: no result ({error})") from error

    def begin(self, about: Cell) -> None:
        """What is added from now on was measured so; a line says it before the first result, where it is news."""
        last = self._sessions[-1].about
        news = {key for key in about.keys() | last.keys() if about.get(key) != last.get(key)} - _BESIDE
        self._coming = about if news else None

    @property
    def sessions(self) -> list[Session]:
        """Those that have results, in order."""
        return [session for session in self._sessions if session.found]

    def wanted(self, part: str, names: Iterator[str] | list[str]) -> Iterator[str]:
        """Those of `names` that were not measured yet, while there is time; says each as it begins."""
        for name in names:
            if any((part, name) in session.found for session in self._sessions):
                continue
            if self._end is not None and time.monotonic() > self._end:
                print(f"{part}: time is up before {name}", flush=True)
                return
            start = time.monotonic()
            yield name
            print(f"{part}: {name} ({time.monotonic() - start:.1f} s)", flush=True)

    def add(self, part: str, name: str, **found: Any) -> None:
        """Keep a result, whole or not at all."""
        if self._coming is not None:
            about, self._coming = self._coming, None
            self._write({"part": SESSION, "name": f"session {len(self._sessions)}", **about})
        self._write({"part": part, "name": name, **found})

    def of(self, part: str) -> list[Cell]:
        """All results of a part, in the order in which they were measured."""
        return [cell for session in self._sessions for (of, _), cell in session.found.items() if of == part]

    def _write(self, cell: Cell) -> None:
        self._keep(cell)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(cell, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _keep(self, cell: Cell) -> None:
        key = cell["part"], cell["name"]
        if key[0] == SESSION:
            self._sessions.append(Session(cell))
            return
        for session in self._sessions:  # What is measured again is of the later session alone.
            session.found.pop(key, None)
        self._sessions[-1].found[key] = cell


def short(value: float | None) -> float | None:
    """Five digits: more of them would only make the file larger."""
    return None if value is None else float(f"{value:.5g}")
