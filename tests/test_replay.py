"""A merged file against base and adapter: what holds the update, at which scale, and what only looks like it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, Matrix, read_lora
from sway_gguf.artifacts.merge import copy_metadata, write_merged
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.artifacts.replay import grain, replayed
from sway_gguf.core.replay import Replay
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.replay import replay
from sway_gguf.engine.grid import on_grid
from sway_gguf.material.packaged import DEMO
from sway_gguf.report.replay import findings
from tests.artifact_files import finish
from tests.command_line import complaint, succeeded
from tests.test_cli import BASE, HEALTHY

DEMO_BASE = DEMO / "base.f32.gguf"


@pytest.fixture(scope="module")
def healthy() -> LoraAdapter:
    return read_lora(DEMO / "healthy.lora.gguf")


def found(merged: Path, adapter: LoraAdapter, base: Path = DEMO_BASE) -> Replay:
    return replay(read_base(merged), read_base(base), adapter)


def said(replayed: Replay) -> str:
    return "; ".join(f"{how}: {what}" for _, how, what in findings(replayed))


def as_it_is(numbers: Matrix) -> Matrix:
    return numbers


def test_the_scale_is_the_least_squares_one_by_hand() -> None:
    base, update = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[1.0, 0.0], [2.0, -1.0]], np.float32)
    for scale, state in ((1.0, "whole"), (0.5, "scaled"), (0.0, "lacks")):
        merged = base + np.float32(scale) * update
        one = replayed("t", "F32", base, merged, lambda at: np.float32(at) * update, as_it_is, as_it_is)
        assert (one.scale, one.state, one.exact, one.error) == (scale, state, True, 0.0)
    # merged − base = [[2, 1], [0, 0]]: its part along the update is (2·1) / (1 + 4 + 1), the rest is something else.
    odd = replayed("t", "F32", base, base + np.array([[2.0, 1.0], [0.0, 0.0]], np.float32), lambda at: update, as_it_is,
                   as_it_is)  # fmt: skip
    assert odd.scale == pytest.approx(2 / 6)
    assert odd.state == "other"


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_K_M"])
def test_a_merge_of_ours_is_replayed_bit_for_bit(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    merge(DEMO_BASE, healthy, tmp_path / "m.gguf", kind=kind)
    result = found(tmp_path / "m.gguf", healthy)
    assert {one.state for one in result.tensors} == {"whole"}
    assert all(one.exact for one in result.tensors)
    assert len(result.adapted()) == len(healthy.pairs)
    assert said(result).startswith("merged: ")
    assert result.common_scale is None


@pytest.mark.parametrize("kind", ["F16", "Q4_K_M"])
def test_half_the_scale_is_told(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    merge(DEMO_BASE, healthy, tmp_path / "m.gguf", kind=kind, scale=0.5)
    result = found(tmp_path / "m.gguf", healthy)
    assert {one.state for one in result.adapted()} == {"scaled"}
    assert result.common_scale == pytest.approx(0.5, abs=0.01)
    assert "at 0.5 times its scale" in said(result)


@pytest.mark.parametrize("kind", ["F16", "Q4_0"])
def test_tensors_without_the_update_are_named(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    kept = tuple(pair for pair in healthy.pairs if ".1." not in pair.module)
    merge(DEMO_BASE, replace(healthy, pairs=kept), tmp_path / "m.gguf", kind=kind)
    result = found(tmp_path / "m.gguf", healthy)
    missing = {pair.module for pair in healthy.pairs} - {pair.module for pair in kept}
    assert missing
    assert {one.name for one in result.adapted("lacks")} == missing
    assert {one.name for one in result.adapted("whole")} == {pair.module for pair in kept}
    assert f"in part: {len(kept)} of {len(healthy.pairs)} tensors" in said(result)
    assert "lacks it: attn_" in said(result)
    assert "of blocks 1" in said(result)


def test_the_base_alone_lacks_it(healthy: LoraAdapter) -> None:
    result = found(DEMO_BASE, healthy)
    assert {one.state for one in result.adapted()} == {"lacks"}
    assert said(result).startswith("lacks it: nothing of")


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_K_M", "Q4_0"])
def test_another_adapter_of_the_same_norm_does_not_pass(tmp_path: Path, healthy: LoraAdapter, kind: str) -> None:
    """A rotation of the adapter's own update: as large at every input, in another direction."""
    merge(DEMO_BASE, null_adapter(healthy, 3), tmp_path / "m.gguf", kind=kind)
    result = found(tmp_path / "m.gguf", healthy)
    assert not result.adapted("whole", "scaled")
    assert {style for style, _, _ in findings(result)} <= {"red", "yellow"}
    assert "merged" not in {how for _, how, _ in findings(result)}


def test_its_own_update_with_another_on_top_does_not_pass(tmp_path: Path, healthy: LoraAdapter) -> None:
    write_merged(DEMO_BASE, healthy, 1.0, "F16", tmp_path / "one.gguf")
    write_merged(tmp_path / "one.gguf", null_adapter(healthy, 3), 1.0, "F16", tmp_path / "m.gguf")
    result = found(tmp_path / "m.gguf", healthy)
    assert {one.state for one in result.adapted()} == {"other"}
    assert re.search(r"something else: besides it \(at (1|0\.9\d*) times its scale\)", said(result))


def rewritten(path: Path, change: Callable[[str, Matrix], Matrix], source: Path = DEMO_BASE) -> Path:
    """A GGUF of floats with its tensors changed."""
    file, writer = GGUFFile(source), gguf.GGUFWriter(path, "llama")
    copy_metadata(file, writer, lambda key: key != "general.architecture")
    for name in file.tensors:
        writer.add_tensor(name, change(name, file.read(name)))
    return finish(writer, path)


def test_a_merge_into_another_base_says_so(tmp_path: Path, healthy: LoraAdapter) -> None:
    other = rewritten(tmp_path / "other.gguf", lambda _, weights: weights * np.float32(1.01))
    write_merged(other, healthy, 1.0, "F16", tmp_path / "m.gguf")
    assert found(tmp_path / "m.gguf", healthy).of_another_base
    assert "give the base that it was merged from" in said(found(tmp_path / "m.gguf", healthy))
    assert not found(tmp_path / "m.gguf", healthy, other).of_another_base


def test_a_merge_by_transformers_in_bfloat16_passes_within_its_rounding(tmp_path: Path, healthy: LoraAdapter) -> None:
    """bfloat16 sums of bfloat16 updates, then stored as F16 or F32: no type of the file tells of it."""
    updates = {pair.module: 2 * pair.b @ pair.a for pair in healthy.pairs}
    base = rewritten(tmp_path / "base.gguf", lambda _, weights: on_grid(weights, "BF16"))

    def merged(name: str, weights: Matrix) -> Matrix:
        if name not in updates:
            return weights
        return on_grid(weights + on_grid(updates[name].astype(np.float32), "BF16"), "BF16")

    result = found(rewritten(tmp_path / "m.gguf", merged, base), healthy, base)
    assert {one.state for one in result.tensors} == {"whole"}
    faker = {pair.module: 2 * pair.b @ pair.a for pair in null_adapter(healthy, 1).pairs}
    updates.update(faker)
    assert not found(rewritten(tmp_path / "f.gguf", merged, base), healthy, base).adapted("whole")


def test_a_merge_from_the_original_is_told_from_a_quantized_base(tmp_path: Path, healthy: LoraAdapter) -> None:
    """Somebody merged into the F16 file and holds the Q8_0 one as the base: the same model, rounded."""
    merge(DEMO_BASE, None, tmp_path / "q8.gguf", kind="Q8_0")
    merge(DEMO_BASE, healthy, tmp_path / "m.gguf", kind="F16")
    result = found(tmp_path / "m.gguf", healthy, tmp_path / "q8.gguf")
    assert {one.state for one in result.tensors} == {"whole"}


def test_what_rounding_leaves_of_a_light_update_is_told(tmp_path: Path, healthy: LoraAdapter) -> None:
    light = replace(healthy, alpha=0.2 * healthy.alpha)
    merge(DEMO_BASE, None, tmp_path / "q4.gguf", kind="Q4_0")
    merge(tmp_path / "q4.gguf", light, tmp_path / "m.gguf", kind="Q4_0")
    result = found(tmp_path / "m.gguf", light, tmp_path / "q4.gguf")
    assert all(one.exact for one in result.adapted("whole"))
    assert "rounded away: Q4_0 leaves as little as" in said(result)


def test_a_tensor_that_is_not_the_bases_is_not_counted_with_those_that_are(
    tmp_path: Path, healthy: LoraAdapter
) -> None:
    write_merged(DEMO_BASE, healthy, 1.0, "F32", tmp_path / "m.gguf")
    adapted = {pair.module for pair in healthy.pairs}
    odd = next(name for name in read_base(DEMO_BASE).tensors if name not in adapted)
    whole = found(tmp_path / "m.gguf", healthy)
    wrong = rewritten(
        tmp_path / "odd.gguf", lambda name, weights: weights + np.float32(name == odd), tmp_path / "m.gguf"
    )
    count = len(whole.untouched)
    assert f"{count} tensors bit for bit as in the base" in said(whole)
    assert f"{count - 1} tensors bit for bit as in the base" in said(found(wrong, healthy))


def test_the_grain_of_numbers() -> None:
    assert grain(np.array([1.0, 0.5], np.float32), "F32") == "BF16"
    assert grain(np.array([1.0 + 2**-10], np.float32), "F32") == "F16"
    assert grain(np.array([1.0 + 2**-20], np.float32), "F32") == "F32"


def test_what_is_broken_is_told(tmp_path: Path, healthy: LoraAdapter) -> None:
    def broken(name: str, weights: Matrix) -> Matrix:
        return weights * np.float32(np.nan) if name == "blk.0.attn_q.weight" else weights

    result = found(rewritten(tmp_path / "m.gguf", broken), healthy)
    assert "broken: NaN or infinity in attn_q of blocks 0" in said(result)


def test_on_the_command_line(tmp_path: Path) -> None:
    out = str(tmp_path / "m.gguf")
    merge(DEMO_BASE, read_lora(Path(HEALTHY)), Path(out), kind="F32")
    text = " ".join(succeeded("inspect", out, "--base", BASE, "--adapter", HEALTHY).split())
    assert f"merged {HEALTHY}, whole: 21 tensors bit for bit" in text.replace("\n", " ")
    record = json.loads(succeeded("inspect", out, "--base", BASE, "--adapter", HEALTHY, "--json"))
    assert {one["state"] for one in record[0]["replay"]["tensors"]} == {"whole"}
    assert "belong together" in complaint("inspect", out, "--base", BASE)
    assert "give one of them" in complaint(
        "inspect", out, "--base", BASE, "--adapter", HEALTHY, "--peft", str(tmp_path)
    )
    assert "one merged GGUF" in complaint("inspect", out, out, "--base", BASE, "--adapter", HEALTHY)
