"""`inspect` calls fit what llama.cpp loads, shows its reasons whole, and says which modules stand in an adapter."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, mismatches, read_lora
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.engine.trial import refusals
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish
from tests.command_line import complaint, succeeded
from tests.test_cli import BASE, HEALTHY
from tests.test_peft import folder

DEMO_BASE = DEMO / "base.f32.gguf"


def base_without(path: Path, tensor: str) -> Path:
    """The demo's base, one tensor short."""
    source, writer = GGUFFile(DEMO_BASE), gguf.GGUFWriter(path, "llama")
    copy_metadata(source, writer, lambda key: key != "general.architecture")
    for name in source.tensors.keys() - {tensor}:
        writer.add_tensor(name, source.read(name))
    return finish(writer, path)


def with_a_gap(path: Path) -> Path:
    """The demo's healthy adapter with its last tensor 32 bytes further on: every number is there all the same."""
    data = Path(HEALTHY).read_bytes()
    last = list(GGUFFile(Path(HEALTHY)).tensors)[-1].encode()
    place = data.index(last) + len(last) + 4 + 2 * 8 + 4
    offset = struct.unpack_from("<Q", data, place)[0]
    path.write_bytes(data[:place] + struct.pack("<Q", offset + 32) + data[place + 8 :] + bytes(32))
    return path


def that_aborts(path: Path) -> LoraAdapter:
    """An adapter at whose alpha, no float32, llama.cpp ends its process; `read_lora` would refuse the file."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_uint32("adapter.lora.alpha", 8)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((4, 256), np.float32))
    writer.add_tensor("blk.0.attn_q.weight.lora_b", np.zeros((256, 4), np.float32))
    return replace(read_lora(Path(HEALTHY)), path=finish(writer, path))


def test_what_llama_cpp_loads_has_no_refusal() -> None:
    assert refusals(DEMO_BASE, [read_lora(Path(HEALTHY)), read_lora(DEMO / "random.lora.gguf")]) == ["", "", ""]


def test_an_adapter_in_memory_is_tried_too(tmp_path: Path) -> None:
    assert refusals(DEMO_BASE, [replace(read_lora(Path(HEALTHY)), path=tmp_path / "none", in_file=False)]) == ["", ""]


def test_an_end_of_the_process_is_a_reason_and_others_are_still_tried(tmp_path: Path) -> None:
    healthy = read_lora(Path(HEALTHY))
    base, ended, fine = refusals(DEMO_BASE, [that_aborts(tmp_path / "a.gguf"), healthy])
    assert (base, fine) == ("", "")
    assert ended.startswith("llama.cpp ended its process (exit ")
    assert "GGML_ASSERT" in ended


def test_a_refused_base_is_told_whole_and_nothing_fits_it(tmp_path: Path) -> None:
    base = str(base_without(tmp_path / "b.gguf", "output_norm.weight"))
    cards = json.loads(succeeded("inspect", base, HEALTHY, "--json"))
    assert "tensor 'output_norm.weight' not found\nllama_model_load" in cards[0]["refused"]
    assert cards[1]["fits"] == {base: ["llama.cpp refuses the base"]}
    text = succeeded("inspect", base, HEALTHY)
    assert "llama.cpp refuses it llama_model_load: error loading model" in text
    assert "failed to load model" in text
    assert "fits" not in text


def test_an_adapter_that_llama_cpp_refuses_is_not_called_fit(tmp_path: Path) -> None:
    path = with_a_gap(tmp_path / "gap.gguf")
    assert mismatches(read_lora(path), read_base(DEMO_BASE)) == []
    cards = json.loads(succeeded("inspect", BASE, str(path), HEALTHY, "--json"))
    reasons = cards[1]["fits"][BASE]
    assert "expected" in reasons[0]
    assert reasons[0].count("\n") >= 2
    assert cards[2]["fits"][BASE] == []
    assert "does not fit" in succeeded("inspect", BASE, str(path))


def test_a_reason_of_several_lines_reaches_the_error_of_every_command(tmp_path: Path) -> None:
    """The cause comes first in llama.cpp's log, and was cut off by what it led to."""
    said = complaint("check", BASE, str(with_a_gap(tmp_path / "gap.gguf")), "--nulls", "0")
    assert "expected" in said


def test_the_share_of_the_trained_modules_is_shown(tmp_path: Path) -> None:
    text = succeeded("inspect", BASE, HEALTHY)
    assert "of the base's linear layers: attention 12 of 12, MLP 9 of 9, embeddings 0 of 1" in " ".join(text.split())
    peft = folder(tmp_path / "p")
    text = succeeded("inspect", BASE, str(peft))
    assert "of target_modules: attention 1 of 3, MLP 1 of 3" in text
    assert "attn_q of blocks 1-2, ffn_up of blocks 1-2" in text
    cards = json.loads(succeeded("inspect", BASE, str(peft), "--json"))
    assert cards[1]["shares"]["families"][0] == {
        "family": "attention",
        "modules": 3,
        "missing": ["blk.1.attn_q.weight", "blk.2.attn_q.weight"],
    }


def test_a_zero_adapter_is_compared_with_its_folder(tmp_path: Path) -> None:
    """Both are zero: the same at any scale, and no ratio is taken of them."""
    names = ("self_attn.q_proj", (256, 256)), ("mlp.up_proj", (512, 256))
    zero = {
        f"base_model.model.model.layers.0.{name}.lora_{side}.weight": np.zeros(shape, np.float32)
        for name, (rows, columns) in names
        for side, shape in (("A", (4, columns)), ("B", (rows, 4)))
    }
    peft, out = folder(tmp_path / "p", zero), str(tmp_path / "zero.gguf")
    succeeded("convert", str(peft), "--base", BASE, "-o", out)
    assert "the same as" in succeeded("inspect", BASE, out, "--peft", str(peft))


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf", "-1", "0", "x"])
def test_scales_of_a_null_are_positive_and_finite(tmp_path: Path, scale: str) -> None:
    for option in ("--rank-scale", "--init-scale"):
        said = complaint("null", BASE, HEALTHY, option, scale, "-o", str(tmp_path / "n.gguf"))
        assert said.startswith(f"Error: Invalid value for '{option}'")
    assert list(tmp_path.iterdir()) == []


def test_what_type_cannot_hold_a_number_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    for kind, scale in (("F16", "1e30"), ("F32", "1e39"), ("BF16", "1e39"), ("Q8_0", "1e30")):
        said = complaint("merge", BASE, HEALTHY, "--scale", scale, "--type", kind, "-o", str(out))
        assert re.search(r"blk\.0\.\w+\.weight", said)
    for scale in ("nan", "inf"):
        assert "Invalid value for '--scale'" in complaint("merge", BASE, HEALTHY, "--scale", scale, "-o", str(out))
    tensors = {
        "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": np.full((4, 256), 1e5, np.float32),
        "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight": np.ones((512, 4), np.float32),
    }
    peft = str(folder(tmp_path / "p", tensors))
    said = complaint("convert", peft, "--base", BASE, "--type", "F16", "-o", str(out))
    assert "blk.0.ffn_up.weight.lora_a holds 1e+05, beyond what F16 can store; write it as F32" in said
    tensors["base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"][0, 0] = np.nan
    peft = str(folder(tmp_path / "p", tensors))
    assert "NaN or infinity in blk.0.ffn_up.weight" in complaint("convert", peft, "--base", BASE, "-o", str(out))
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
