"""A sweep's rows as grids: for each suite, adapters and scales down, bases across. Renders nothing; knows rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sway_gguf.core.result import Diagnosis, Verdict
from sway_gguf.core.sweep import ERROR, CellRow
from sway_gguf.report import numbers
from sway_gguf.report.facts import calls_for

Name = TypeVar("Name")
_WORST = (Verdict.SKIP, Verdict.PASS, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR)


@dataclass(frozen=True, slots=True)
class Box:
    """All seeds of one place in a grid."""

    rows: tuple[CellRow, ...]

    @property
    def words(self) -> str:
        """The diagnosis, or how often each came out."""
        counts = Counter(row.diagnosis for row in self.rows)
        if len(counts) < 2:
            return next(iter(counts), "")
        return ", ".join(f"{name} {count}" for name, count in counts.most_common())

    @property
    def verdict(self) -> Verdict:
        """The worst of them, as a colour has it."""
        return max((verdict_of(row) for row in self.rows), key=_WORST.index, default=Verdict.SKIP)

    @property
    def lift(self) -> float | None:
        """Its mean over the seeds that have one, nats per token."""
        return _mean(row.lift for row in self.rows)

    @property
    def collateral(self) -> float | None:
        """Likewise."""
        return _mean(row.collateral for row in self.rows)

    @property
    def figures(self) -> str:
        """The lift and what it costs, short; "" where neither is known."""
        found = [("lift", self.lift), ("general", self.collateral)]
        return ", ".join(f"{name} {numbers.number(value, True, 2)}" for name, value in found if value is not None)


@dataclass(frozen=True, slots=True)
class Line:
    """An adapter at a scale, on each base."""

    adapter: str
    scale: float
    boxes: tuple[Box, ...]

    @property
    def name(self) -> str:
        """As a report calls it."""
        return self.adapter if self.scale == 1 else f"{self.adapter} × {self.scale:g}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The rows of one suite."""

    suite: str
    bases: tuple[str, ...]
    lines: tuple[Line, ...]


def verdict_of(row: CellRow) -> Verdict:
    """The colour of a diagnosis."""
    if row.failed:
        return Verdict.ERROR
    return calls_for(Diagnosis(row.diagnosis)) if row.diagnosis in set(Diagnosis) else Verdict.FAIL


def grids(rows: Sequence[CellRow]) -> list[Grid]:
    """A grid for each suite, all in the order in which names first occur; where a place has several rows, the last."""
    last = {row.place: row for row in rows}
    found = []
    for suite in _names(row.suite for row in last.values()):
        own = [row for row in last.values() if row.suite == suite]
        bases = _names(row.base for row in own)
        lines = []
        for adapter, scale in _names((row.adapter, row.scale) for row in own):
            at = [row for row in own if (row.adapter, row.scale) == (adapter, scale)]
            lines.append(Line(adapter, scale, tuple(Box(tuple(r for r in at if r.base == base)) for base in bases)))
        found.append(Grid(suite, bases, tuple(lines)))
    return found


def sums(rows: Sequence[CellRow]) -> str:
    """How many cells there are, and what came of them: "12 cells: 10 healthy, 1 noise, 1 ERROR"."""
    counts = Counter(row.diagnosis for row in rows)
    parts = [f"{count} {name}" for name, count in counts.most_common() if name != ERROR]
    parts += [f"{counts[ERROR]} {ERROR}"] if counts[ERROR] else []
    return f"{len(rows)} cell{'s' if len(rows) != 1 else ''}: {', '.join(parts) or 'none'}"


def _names(values: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(values))


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return math.fsum(found) / len(found) if found else None
