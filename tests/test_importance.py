"""Importance matrices: both forms read, llama.cpp quantizes by them, and wrong ones are told first."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.importance import read_importance
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.deploy.merge import merge
from sway_gguf.engine.grid import on_grid
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import base_file, finish
from tests.command_line import complaint
from tests.test_cli import BASE, HEALTHY

DEMO_BASE = DEMO / "base.f32.gguf"


def imatrix_file(path: Path, sums: Mapping[str, tuple[Any, Any]], kind: str = "imatrix") -> Path:
    """(sums of squares [experts, width], counts [experts]) by tensor, as llama-imatrix writes them."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(kind)
    writer.add_array("imatrix.datasets", ["calibration.txt"])
    for name, (sum_of_squares, counts) in sums.items():
        writer.add_tensor(f"{name}.in_sum2", np.asarray(sum_of_squares, np.float32))
        writer.add_tensor(f"{name}.counts", np.asarray(counts, np.float32).reshape(-1, 1))
    return finish(writer, path)


def dat_file(path: Path, sums: Mapping[str, tuple[Any, int]]) -> Path:
    """The older form: values summed over a number of calls."""
    parts = [struct.pack("<i", len(sums))]
    for name, (values, calls) in sums.items():
        data = np.asarray(values, "<f4")
        parts += [struct.pack("<i", len(name)), name.encode(), struct.pack("<ii", calls, data.size), data.tobytes()]
    path.write_bytes(b"".join(parts) + struct.pack("<i", 7))
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> BaseModel:
    shapes = {"blk.0.ffn_up.weight": (3, 2), "blk.0.ffn_up_exps.weight": (2, 3, 4)}
    return read_base(base_file(tmp_path / "b.gguf", shapes))


def for_demo(path: Path) -> Path:
    """One for every matrix of the demo: some columns weigh a hundred times as much as others."""
    rng = np.random.default_rng(0)
    sums = {}
    for name, info in GGUFFile(DEMO_BASE).tensors.items():
        if len(info.shape) > 1:
            sums[name] = (rng.uniform(0.1, 10.0, (1, info.shape[-1])) ** 2 * 50, [50])
    return imatrix_file(path, sums)


def test_sums_over_counts_by_hand(tmp_path: Path, tiny: BaseModel) -> None:
    experts = ([[2.0, 4.0, 6.0, 8.0], [9.0, 9.0, 9.0, 9.0]], [2, 0])
    sums = {"blk.0.ffn_up.weight": ([[3.0, 6.0]], [3]), "blk.0.ffn_up_exps.weight": experts}
    path = imatrix_file(tmp_path / "i.gguf", sums)
    found = read_importance(path, tiny)
    assert found["blk.0.ffn_up.weight"].tolist() == [1.0, 2.0]
    # No text reached the second expert: its inputs weigh the same.
    assert found["blk.0.ffn_up_exps.weight"].tolist() == [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0]


def test_the_older_form_says_the_same(tmp_path: Path, tiny: BaseModel) -> None:
    path = dat_file(tmp_path / "i.dat", {"blk.0.ffn_up.weight": ([3.0, 6.0], 3)})
    assert read_importance(path, tiny)["blk.0.ffn_up.weight"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K_M"])
def test_llama_cpp_weighs_the_columns_of_each_tensor(tmp_path: Path, kind: str) -> None:
    path = for_demo(tmp_path / "i.gguf")
    merge(DEMO_BASE, None, tmp_path / "with.gguf", kind=kind, importance=path)
    merge(DEMO_BASE, None, tmp_path / "without.gguf", kind=kind)
    weights = read_importance(path, read_base(DEMO_BASE))
    base, one, other = GGUFFile(DEMO_BASE), GGUFFile(tmp_path / "with.gguf"), GGUFFile(tmp_path / "without.gguf")
    better = 0
    for name in ("blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.ffn_up.weight"):
        errors = [float(((file.read(name) - base.read(name)) ** 2 * weights[name]).sum()) for file in (one, other)]
        better += errors[0] < errors[1]
    assert better == 3


def test_types_that_need_one_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="importance matrix"):
        merge(DEMO_BASE, None, tmp_path / "m.gguf", kind="IQ2_XS")
    merge(DEMO_BASE, None, tmp_path / "m.gguf", kind="IQ2_XS", importance=for_demo(tmp_path / "i.gguf"))
    assert "IQ2_XS" in read_base(tmp_path / "m.gguf").types


def test_a_single_tensor_on_its_grid_is_what_the_file_holds(tmp_path: Path) -> None:
    merge(DEMO_BASE, None, tmp_path / "m.gguf", kind="Q4_0")
    name = "blk.0.ffn_up.weight"
    alone = on_grid(on_grid(GGUFFile(DEMO_BASE).read(name), "F16"), "Q4_0")
    assert np.array_equal(alone, GGUFFile(tmp_path / "m.gguf").read(name))


def test_what_is_no_matrix_of_this_model_is_told(tmp_path: Path, tiny: BaseModel) -> None:
    for sums, told in (
        ({"blk.9.attn_q.weight": ([[1.0]], [1])}, "names no tensor of"),
        ({"blk.0.ffn_up.weight": ([[1.0] * 3], [1])}, "3 values, the base's has 2 columns"),
        ({"blk.0.ffn_up.weight": ([[1.0, -1.0]], [1])}, "no mean squares"),
    ):
        with pytest.raises(UserError, match=told):
            read_importance(imatrix_file(tmp_path / "i.gguf", sums), tiny)
    with pytest.raises(UserError, match=r"general\.type is 'model'"):
        read_importance(imatrix_file(tmp_path / "i.gguf", {"blk.0.ffn_up.weight": ([[1, 1]], [1])}, "model"), tiny)
    whole = dat_file(tmp_path / "i.dat", {"blk.0.ffn_up.weight": ([3.0, 6.0], 3)}).read_bytes()
    for data in (whole[:20], b"text, not numbers", struct.pack("<ii", 1, -4), b""):
        (tmp_path / "x.dat").write_bytes(data)
        with pytest.raises(UserError, match="no importance matrix, or damaged"):
            read_importance(tmp_path / "x.dat", tiny)


def test_a_wrong_one_leaves_no_file(tmp_path: Path) -> None:
    assert complaint("merge", BASE, HEALTHY, "--type", "Q4_0", "--imatrix", BASE, "-o", str(tmp_path / "m.gguf"))
    assert not (tmp_path / "m.gguf").exists()
