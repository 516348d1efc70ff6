"""Sweeps on pools: nothing lost, nothing measured twice, an ERROR where a cell ends its process."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.result_json import read_result
from sway_gguf.core.sweep import CellRow
from sway_gguf.fleet import dask_quiet
from sway_gguf.fleet.cell import Cell
from sway_gguf.fleet.cluster import Cluster
from sway_gguf.fleet.hand import Build, Measure, Outcome
from sway_gguf.fleet.pools import Here
from sway_gguf.fleet.sweep import sweep
from sway_gguf.fleet.table import open_table, read_rows
from tests.sweep_files import Shown, demo_cells, demo_files, dying_by_name, fake_build, keys_of, measured_by_fake
from tests.test_child import alive

SEED = 11


def swept(
    cells: list[Cell], folder: Path, measure: Measure = measured_by_fake, shown: Shown | None = None
) -> list[CellRow]:
    """A sweep in this process."""
    with open_table(folder) as table:
        return sweep(cells, table, Here(measure, fake_build), shown or Shown())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    demo_files(tmp_path)
    return tmp_path


def test_each_cell_has_its_own_row_and_result(place: Path, tmp_path: Path) -> None:
    cells = demo_cells(place, scales=[0.5, 1.0, 2.0], seeds=[0, 1])
    rows = swept(cells, tmp_path / "out")
    assert [row.key for row in rows] == [cell.key for cell in cells]
    for cell, row in zip(cells, rows, strict=True):
        assert read_result(tmp_path / "out" / row.result).headline == str(cell)
        assert row.place == (cell.base, cell.adapter, cell.scale, cell.seed, cell.suite)
    assert rows[0].values["applied"] < rows[1].values["applied"] < rows[2].values["applied"]
    assert rows[0].axes["applied"] == "PASS"


def test_a_cell_that_ends_its_process_is_an_error_and_the_next_start_tries_it_alone(
    place: Path, tmp_path: Path
) -> None:
    shutil.copy(place / "good.gguf", place / "dies.gguf")
    cells = demo_cells(place, adapters=["zero.gguf", "dies.gguf"], seeds=[0, 1])
    shown = Shown()
    rows = swept(cells, tmp_path / "out", dying_by_name, shown)
    assert [row.failed for row in rows] == [False, False, True, True]
    assert "SIGABRT" in rows[2].headline
    again = Shown()
    assert not any(row.failed for row in swept(cells, tmp_path / "out", measured_by_fake, again))
    assert again.started == (4, 2, 1)
    assert keys_of(again.rows) == keys_of(cells[2:])


def test_a_second_start_measures_what_is_new_or_lost_and_nothing_else(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = swept(demo_cells(place, seeds=[0, 1]), out)
    (out / first[1].result).unlink()
    shown = Shown()
    cells = demo_cells(place, scales=[2.0, 1.0], seeds=[1, 0], defaults={})
    rows = swept(cells, out, shown=shown)
    assert shown.started == (4, 1, 1)
    assert keys_of(shown.rows) == keys_of(cells) - {first[0].key}
    assert first[0] in rows
    assert "1 results that the table names are not there" in shown.lines[0]
    assert len(read_rows(out)) == 4


def test_what_another_build_measured_is_measured_again(place: Path, tmp_path: Path) -> None:
    cells, shown = demo_cells(place), Shown()
    swept(cells, tmp_path / "out")
    with open_table(tmp_path / "out") as table:
        sweep(cells, table, Here(measured_by_fake, build_by_process), shown)
    assert shown.started == (1, 0, 1)
    assert "another build" in shown.lines[0]


def test_a_worker_that_measured_other_files_is_an_error(place: Path, tmp_path: Path) -> None:
    cells = demo_cells(place)
    shutil.copy(place / "zero.gguf", place / "good.gguf")  # as if the path held another file over there
    (row,) = swept(cells, tmp_path / "out", measured_by_fake)
    assert row.failed
    assert "good.gguf is another file there" in row.headline


def test_a_disk_that_is_full_ends_the_sweep_and_keeps_what_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, shown = demo_cells(place, seeds=[0, 1, 2]), Shown()
    from sway_gguf.fleet import table as tables

    kept = tables.Table.keep

    def full(self: tables.Table, row: CellRow, record: str = "") -> None:
        if row.seed == 1:
            raise UserError("no space")
        kept(self, row, record)

    with monkeypatch.context() as patch:
        patch.setattr(tables.Table, "keep", full)
        with pytest.raises(UserError, match="no space"):
            swept(cells, tmp_path / "out", shown=shown)
    assert keys_of(read_rows(tmp_path / "out")) == {cells[0].key}
    assert not any(row.failed for row in swept(cells, tmp_path / "out"))


class Killing(Shown):
    """Kills a worker, drawn at random, after some of the rows."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every, self._draw = every, random.Random(SEED)
        self.killed: list[int] = []

    def row(self, row: CellRow) -> None:
        super().row(row)
        if len(self.rows) % self._every == 0:
            names = sorted({shown.worker for shown in self.rows[-self._every :]})
            living = [pid for pid in (int(name.rpartition(":")[2]) for name in names) if alive(pid)]
            if living:
                self.killed.append(self._draw.choice(living))
                os.kill(self.killed[-1], signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes")
def test_a_thousand_cells_lose_nothing_where_workers_are_killed(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    cells = demo_cells(place, adapters=["good.gguf", "zero.gguf"], scales=[0.25, 0.5, 1.0, 2.0], seeds=list(range(125)))
    shown, said = Killing(every=400), list[str]()
    with open_table(tmp_path / "out") as table:
        pool = Cluster(measured_by_fake, local=2, say=said.append, build=fake_build)
        rows = sweep(cells, table, pool, shown)
    assert len(shown.killed) == 2
    workers = {row.worker for row in shown.rows}
    assert len(shown.killed) / len(workers) >= 0.1
    assert len(cells) == 1000
    assert [row.key for row in rows] == [cell.key for cell in cells]
    assert [row.headline for row in rows if row.failed] == []
    assert keys_of(read_rows(tmp_path / "out")) == keys_of(cells)
    for cell, row in zip(cells[::50], rows[::50], strict=True):
        assert read_result(tmp_path / "out" / row.result).headline == str(cell)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_workers_that_differ_are_refused_before_the_first_cell(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    pool, shown = Cluster(measured_by_fake, local=2, build=build_by_process), Shown()
    with (
        open_table(tmp_path / "out") as table,
        pytest.raises(UserError, match=r"has fake .* the others have .*--mixed"),
    ):
        sweep(demo_cells(place), table, pool, shown)
    assert shown.given == []


def build_by_process() -> Build:
    """Another one in every process."""
    return Build({"fake": str(os.getpid())}, {})


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask_quiet, "_CONNECTS_WITHIN", "0.3s")
    pool = Cluster(measured_by_fake, address="tcp://127.0.0.1:9")
    with pytest.raises(UserError, match="no Dask scheduler answers there"), pool:
        pass


def test_an_outcome_of_nothing_is_an_error_in_its_row(place: Path, tmp_path: Path) -> None:
    (row,) = swept(demo_cells(place), tmp_path / "out", nothing)
    assert (row.failed, row.headline) == (True, "LookupError: nothing")


def nothing(cell: Cell) -> Outcome:
    """Finds that there is nothing to measure."""
    raise LookupError("nothing")
