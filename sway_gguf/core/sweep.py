"""A sweep's cells as plain records: what a line of its table holds. Knows shapes only; nothing here runs or judges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from sway_gguf.core.plain import json_text
from sway_gguf.core.plan import Speed

ERROR = "ERROR"
CELLS = "cells"
"""Folder of the cells' results, beside the table."""
_KEY = re.compile(r"[0-9a-f]{8,64}")
"""It names a file, whoever wrote the table."""


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell of a sweep, and what came of it.

    Attributes:
        key: digest of what it is made of: contents of files, spec, scale, seed, versions.
        base, adapter, scale, seed, suite: which cell, by the names that the sweep gives.
        diagnosis: in one word; ERROR where there is none.
        headline: the sentence to it; why there is none, where it is an ERROR.
        axes: verdict by axis.
        values: by probe, in its unit.
        lift: mean gain on the data's replies or sections, nats per token; None where it was not measured.
        collateral: mean change on unrelated text, nats per token; None likewise.
        seconds, tokens: that it took.
        worker: which computed it.
        build: digest of the versions and the build of what computed it.
        finished_at: as ISO 8601.
    """

    key: str
    base: str
    adapter: str
    scale: float
    seed: int
    suite: str
    diagnosis: str
    headline: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    lift: float | None = None
    collateral: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    worker: str = ""
    build: str = ""
    finished_at: str = ""

    @property
    def failed(self) -> bool:
        """Whether it gave no result."""
        return self.diagnosis == ERROR

    @property
    def result(self) -> str:
        """Where its result.json is, from the table's folder; "" where there is none."""
        return "" if self.failed else f"{CELLS}/{self.key}.json"

    @property
    def place(self) -> tuple[str, str, float, int, str]:
        """Where it stands in the grid."""
        return self.base, self.adapter, self.scale, self.seed, self.suite

    def line(self) -> str:
        """One line of JSON, with its end."""
        return json_text(asdict(self)) + "\n"


class Named(Protocol):
    """A cell by the names that its sweep gives."""

    @property
    def base(self) -> str: ...
    @property
    def adapter(self) -> str: ...
    @property
    def scale(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def suite(self) -> str: ...


def named(cell: Named) -> str:
    """A cell in a line."""
    scale = "" if cell.scale == 1 else f" × {cell.scale:g}"
    return f"{cell.adapter}{scale} on {cell.base}, {cell.suite}, seed {cell.seed}"


_ROW: TypeAdapter[CellRow] = TypeAdapter(CellRow)


def row_of_line(line: str | bytes) -> CellRow | None:
    """The row of a line; None where it is none, such as one that was cut off."""
    try:
        row = _ROW.validate_json(line)
    except ValidationError:
        return None
    return row if _KEY.fullmatch(row.key) else None


def latest(rows: list[CellRow]) -> list[CellRow]:
    """One row for each cell: its last one that gave a result, or else its last."""
    found: dict[str, CellRow] = {}
    for row in rows:
        if row.key not in found or not row.failed or found[row.key].failed:
            found[row.key] = row
    return list(found.values())


def flat(row: CellRow) -> dict[str, Any]:
    """As a row of a table without nesting: axes and values by their names behind a dot."""
    whole = asdict(row)
    axes, values = whole.pop("axes"), whole.pop("values")
    named = {f"axis.{axis}": verdict for axis, verdict in axes.items()}
    return whole | named | {f"value.{probe}": value for probe, value in values.items()}


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """The cells of one base and one suite, before they are measured.

    Attributes:
        base, suite: which.
        cells, done: how many there are, and how many of them the table has.
        tokens: that a cell evaluates at least.
        speed: at which this base's tokens were last evaluated; None where nothing is known.
        trouble: why they cannot be measured; "" where they can.
    """

    base: str
    suite: str
    cells: int
    done: int
    tokens: int = 0
    speed: Speed | None = None
    trouble: str = ""

    @property
    def left(self) -> int:
        """Cells to be measured."""
        return self.cells - self.done

    @property
    def seconds(self) -> float | None:
        """That those will take one after the other; None where no speed is known."""
        return None if self.speed is None else self.left * self.tokens / self.speed.rate
