"""Sweeps of the demo for tests, and a way to measure their cells without a model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.core.file_records import FileRecord
from sway_gguf.core.queries import NextToken
from sway_gguf.core.result import AxisResult, Diagnosis, NullsUsed, ProbeResult, SuiteResult, Verdict
from sway_gguf.core.result_json import to_json
from sway_gguf.core.sweep import CellRow
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine.fake import FakeBackend, wordy_script
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.hand import Build, Outcome
from sway_gguf.material.packaged import DEMO

SMALL = """version: 1
models: {base: {base: none.gguf}, ft: {base: none.gguf, adapter: none.gguf}}
defaults: {nulls: 0}
suite: [{name: applied, kind: applied}]
"""


def demo_files(folder: Path) -> None:
    """Base, adapters, text and a small suite, under short names."""
    for name, file in (("base", "base.f32.gguf"), ("good", "healthy.lora.gguf"), ("zero", "zero.lora.gguf")):
        shutil.copy(DEMO / file, folder / f"{name}.gguf")
    shutil.copy(DEMO / "document.md", folder / "train.md")
    shutil.copy(DEMO / "general.txt", folder / "notes.txt")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")


def sweep_file(folder: Path, /, **fields: object) -> Path:
    """A sweep.yaml there."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"bases": ["base.gguf"], "adapters": ["good.gguf"], **fields}), encoding="utf-8")
    return path


def demo_cells(folder: Path, /, **fields: object) -> list[Cell]:
    """The cells of such a sweep."""
    from sway_gguf.fleet.cells import cells_of  # loads the probes, which who measures a fake has no need of
    from sway_gguf.spec.sweep import load_sweep

    return cells_of(load_sweep(sweep_file(folder, **fields)))


@cache
def digest_of(path: Path) -> str:
    """Of a file; what stands there does not change under a sweep."""
    return sha256_of(path)


def fake_build() -> Build:
    """What computes a fake."""
    return Build({"fake": "1"}, {})


def measured_by_fake(cell: Cell) -> Outcome:
    """How far the fake backend's next token moves where the effect is the cell's scale; the headline names the cell."""
    backend = FakeBackend(wordy_script(lambda view, query: cell.scale if view != BASE else 0.0))
    rows = []
    for view in (BASE, TUNED):
        with backend.open(view) as opened:
            rows.append(opened.answer([NextToken(str(cell))])[0])
    change = float(abs(rows[1] - rows[0]).max())
    named = {"base": cell.spec.models.base.base, "adapter": cell.spec.models.ft.adapter}
    files = tuple(FileRecord(role, str(path), digest_of(path), 0) for role, path in named.items() if path)
    result = SuiteResult(
        Diagnosis.HEALTHY,
        str(cell),
        (AxisResult("applied", Verdict.PASS, ""),),
        (ProbeResult("applied", "applied", "applied", Verdict.PASS, "", value=change),),
        NullsUsed(0, (), "rotation", 1.0, 0.02, 1.0, ""),
        0.05,
        cell.seed,
        files,
    )
    return Outcome(to_json(result), build=fake_build().digest)


def dying_by_name(cell: Cell) -> Outcome:
    """As `measured_by_fake`; an adapter whose name says so ends the process."""
    if "dies" in cell.adapter:
        os.abort()
    return measured_by_fake(cell)


class Shown:
    """Remembers what a sweep shows."""

    def __init__(self) -> None:
        self.started: tuple[int, int, int] | None = None
        self.rows: list[CellRow] = []
        self.lines: list[str] = []
        self.given: list[tuple[str, str]] = []

    def start(self, total: int, done: int, workers: int) -> None:
        self.started = (total, done, workers)

    def began(self, cell: Cell, worker: str) -> None:
        self.given.append((cell.key, worker))

    def shared(self, cell: Cell, share: float) -> None:
        assert 0 <= share <= 1

    def row(self, row: CellRow) -> None:
        self.rows.append(row)

    def say(self, line: str) -> None:
        self.lines.append(line)


def keys_of(rows: Sequence[CellRow] | Sequence[Cell]) -> set[str]:
    """Of rows or cells."""
    return {row.key for row in rows}
