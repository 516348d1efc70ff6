"""A sweep's table: whole lines, one writer, what a kill or a full disk leaves, joining."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sway_gguf.core.errors import UserError
from sway_gguf.core.sweep import CellRow, flat, latest, row_of_line
from sway_gguf.fleet.parquet import write_parquet
from sway_gguf.fleet.table import merged, open_table, read_rows, table_name

ROW = CellRow(
    key="0" * 24, base="b.gguf", adapter="ä.gguf", scale=0.5, seed=3, suite="check", diagnosis="healthy",
    axes={"applied": "PASS"}, values={"delta_kl": 0.25}, lift=1.5, seconds=2.0, tokens=10, worker="w", build="1",
)  # fmt: skip


def row(number: int, diagnosis: str = "healthy") -> CellRow:
    return replace(ROW, key=f"{number:024x}", seed=number, diagnosis=diagnosis)


def keep(folder: Path, *rows: CellRow, shard: tuple[int, int] | None = None) -> None:
    with open_table(folder, table_name(shard)) as table:
        for each in rows:
            table.keep(each, "" if each.failed else f'{{"seed": {each.seed}}}\n')


def test_a_row_comes_back_from_its_line() -> None:
    assert row_of_line(ROW.line()) == ROW
    assert ROW.line().count("\n") == 1
    assert json.loads(ROW.line())["axes"] == {"applied": "PASS"}


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "ABC", "0" * 7])
def test_a_row_whose_key_is_no_digest_is_none(key: str) -> None:
    assert row_of_line(replace(ROW, key=key).line()) is None


def test_of_a_cells_rows_the_last_result_stands_and_an_error_only_where_there_is_none() -> None:
    rows = [row(1, "ERROR"), row(1, "noise"), row(1, "ERROR"), row(2, "ERROR"), row(1, "healthy")]
    assert latest(rows) == [row(1, "healthy"), row(2, "ERROR")]


def test_what_is_kept_is_read_and_results_stand_beside(tmp_path: Path) -> None:
    keep(tmp_path, row(1), row(2, "ERROR"))
    assert read_rows(tmp_path) == [row(1), row(2, "ERROR")]
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [f"{1:024x}.json"]
    assert row(2, "ERROR").result == ""


def test_a_line_that_was_cut_off_is_no_row_and_the_next_writer_removes_it(tmp_path: Path) -> None:
    keep(tmp_path, row(1), row(2))
    table = tmp_path / table_name()
    whole = table.read_bytes()
    table.write_bytes(whole[:-5])
    assert read_rows(tmp_path) == [row(1)]
    keep(tmp_path, row(3))
    assert read_rows(tmp_path) == [row(1), row(3)]
    assert table.read_bytes() == (row(1).line() + row(3).line()).encode()


def test_a_table_that_is_one_cut_off_line_is_empty(tmp_path: Path) -> None:
    (tmp_path / table_name()).write_bytes(b'{"key": "0' * 20_000)
    keep(tmp_path, row(1))
    assert read_rows(tmp_path) == [row(1)]


def test_a_damaged_line_is_left_out_and_told(tmp_path: Path) -> None:
    keep(tmp_path, row(1))
    with (tmp_path / table_name()).open("ab") as file:
        file.write(b"\x00\xff nonsense\n" + row(2).line().encode())
    said: list[str] = []
    assert read_rows(tmp_path, said.append) == [row(1), row(2)]
    assert "1 damaged" in said[0]


def test_a_second_sweep_on_one_table_is_refused_and_another_shard_is_not(tmp_path: Path) -> None:
    with open_table(tmp_path):
        with pytest.raises(UserError, match="another sweep writes to this table"), open_table(tmp_path):
            pass
        keep(tmp_path, row(1), shard=(1, 2))
    keep(tmp_path, row(2))
    assert read_rows(tmp_path) == [row(2), row(1)]


@pytest.mark.parametrize("written", [0, 7])
def test_a_full_disk_is_told_and_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    keep(tmp_path, row(1))
    before = (tmp_path / table_name()).read_bytes()
    write, parts = os.write, [written, -1]

    def full(descriptor: int, data: bytes) -> int:
        part = parts.pop(0) if parts else -1
        if part > 0:
            return write(descriptor, data[:part])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_table(tmp_path) as table:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(UserError, match=r"No space left.*start the sweep again"):
                table.keep(row(2, "ERROR"))
        assert (tmp_path / table_name()).read_bytes() == before
        table.keep(row(3))
    assert read_rows(tmp_path) == [row(1), row(3)]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="give another --results"), open_table(tmp_path / "file"):
        pass


def test_shards_of_one_folder_and_of_several_are_joined_with_their_results(tmp_path: Path) -> None:
    one, two, all_ = tmp_path / "one", tmp_path / "two", tmp_path / "all"
    keep(one, row(1), row(2, "ERROR"), shard=(1, 3))
    keep(one, row(3), shard=(2, 3))
    keep(two, row(2), row(4), shard=(3, 3))
    said: list[str] = []
    rows = merged([one, two], all_, said.append)
    assert sorted(each.seed for each in rows) == [1, 2, 3, 4]
    assert not any(each.failed for each in rows)
    assert {path.name for path in (all_ / "cells").iterdir()} == {f"{number:024x}.json" for number in (1, 2, 3, 4)}
    assert sorted(read_rows(all_), key=lambda each: each.seed) == [row(1), row(2), row(3), row(4)]
    before = (all_ / table_name()).read_bytes()
    merged([one, two], all_, said.append)
    assert (all_ / table_name()).read_bytes() == before
    assert {each.seed for each in merged([one], one, said.append)} == {1, 2, 3}
    assert said == []


def test_a_folder_without_a_table_cannot_be_joined(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no table of a sweep"):
        merged([tmp_path], tmp_path, print)


def test_parquet_has_a_column_for_each_axis_and_value(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    other = replace(row(2, "ERROR"), axes={}, values={}, lift=None)
    path = write_parquet([ROW, other], tmp_path)
    assert path is not None
    read = parquet.read_table(path).to_pylist()
    assert read[0] == flat(ROW)
    assert read[0]["axis.applied"] == "PASS"
    assert read[0]["value.delta_kl"] == 0.25
    assert read[1]["value.delta_kl"] is None
