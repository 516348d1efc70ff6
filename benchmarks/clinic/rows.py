"""Visits of the clinic as lines of a file: what was concluded, and what it was made with.

Knows lines; neither cases nor tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clinic.visit import HEALTHY


@dataclass(frozen=True, slots=True)
class Row:
    """One visit.

    Attributes:
        base, form: of weights.
        case, fault: of the adapter.
        accepted: what would be right.
        word, why, by: what the product concluded, in its own words, by which command.
        gate, check: "pass", "fail" or "error" by the original's two readings; "" where it was not asked.
        their_why: what of it failed.
        seconds: of ours.
        own_text, other_text: what is true of the adapter by NumPy; None where that was not computed. See `truth`.
        versions, settings: of what made the visit; "" where they were not kept.
    """

    base: str
    form: str
    case: str
    fault: str
    accepted: tuple[str, ...]
    word: str
    why: str
    by: str
    gate: str = ""
    check: str = ""
    their_why: str = ""
    seconds: float = 0.0
    own_text: float | None = None
    other_text: float | None = None
    versions: str = ""
    settings: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Which visit."""
        return self.base, self.form, self.case

    @property
    def made_with(self) -> tuple[str, str]:
        """Versions and settings."""
        return self.versions, self.settings

    @property
    def right(self) -> bool:
        """Whether what was concluded is accepted: of several warnings on a fault one, on what is sound each."""
        told, _, axes = self.word.partition(" but ")
        accepted = (" but ".join(filter(None, (told, axis))) in self.accepted for axis in axes.split(" and "))
        return (all if self.healthy else any)(accepted)

    @property
    def healthy(self) -> bool:
        """Whether nothing was planted."""
        return self.fault == HEALTHY

    @property
    def missed(self) -> bool:
        """Whether a fault was called healthy, without a word on it."""
        return not self.healthy and not self.right and self.word.startswith(HEALTHY)

    def line(self) -> str:
        """For the terminal."""
        mark = "ok   " if self.right else "WRONG"
        theirs = f"; theirs: gate {self.gate}, check {self.check} ({self.their_why})" if self.gate else ""
        return (
            f"{mark} {self.base} {self.form} {self.case} ({self.fault}): {self.word} by {self.by}: {self.why}{theirs}"
        )


def read(path: Path) -> list[Row]:
    """What was kept; the last one of a visit counts. What a stopped write left of the last line does not."""
    if not path.exists():
        return []
    return list({row.key: row for row in _rows(path)}.values())


def _rows(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            entry = json.loads(line)
            yield Row(**{**entry, "accepted": tuple(entry["accepted"])})


def kept(row: Row, path: Path) -> None:
    """Add a row, whole, to what is kept; in place of what a stopped write left of one."""
    before = path.read_bytes() if path.exists() else b""
    if not before.endswith(b"\n") and before:
        path.write_bytes(before[: before.rfind(b"\n") + 1])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
