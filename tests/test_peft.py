"""PEFT folders: identical to llama.cpp's converter, exact folding of scales, and what is refused with its way out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.likeness import differences
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO

PREFIX = "base_model.model.model.layers"
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"], "bias": "none"}


@pytest.fixture
def base() -> BaseModel:
    return read_base(DEMO / "base.f32.gguf")


def factors(rank: int = 4, block: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(block)
    shapes = {"self_attn.q_proj": (256, 256), "mlp.up_proj": (512, 256)}
    found: dict[str, np.ndarray] = {}
    for module, (rows, columns) in shapes.items():
        found[f"{PREFIX}.{block}.{module}.lora_A.weight"] = rng.normal(size=(rank, columns)).astype(np.float32)
        found[f"{PREFIX}.{block}.{module}.lora_B.weight"] = rng.normal(size=(rows, rank)).astype(np.float32)
    return found


def folder(path: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "adapter_config.json").write_text(json.dumps(CONFIG | config), encoding="utf-8")
    save_file(factors() if tensors is None else tensors, path / "adapter_model.safetensors")
    return path


@pytest.mark.parametrize(("name", "kind"), [("zog.f32.lora.gguf", "F32"), ("zog.f16.lora.gguf", "F16")])
def test_a_folder_converts_to_the_bits_that_llama_cpps_converter_writes(
    stories: Path, tmp_path: Path, name: str, kind: str
) -> None:
    adapter = read_peft(stories / "zog-peft", read_base(stories / "stories260K.f32.gguf"))
    typed = replace(adapter, pairs=tuple(replace(pair, a_type=kind, b_type=kind) for pair in adapter.pairs))
    write_lora(typed, tmp_path / "mine.gguf")
    mine, theirs = read_lora(tmp_path / "mine.gguf"), read_lora(stories / name)
    assert mine.alpha == theirs.alpha
    for one, other in zip(mine.pairs, theirs.pairs, strict=True):
        assert (one.module, one.a_type, one.b_type) == (other.module, other.a_type, other.b_type)
        assert (one.a == other.a).all()
        assert (one.b == other.b).all()


def test_rows_of_q_are_interleaved_and_others_stay(tmp_path: Path, base: BaseModel) -> None:
    tensors = factors()
    up, q = (
        next(p for p in read_peft(folder(tmp_path / "p"), base).pairs if n in p.module) for n in ("ffn_up", "attn_q")
    )
    assert (up.b == tensors[f"{PREFIX}.0.mlp.up_proj.lora_B.weight"]).all()
    given = tensors[f"{PREFIX}.0.self_attn.q_proj.lora_B.weight"]
    # Four heads of 64: rows 0 and 32 of a head, which rotate together, come to stand side by side.
    assert (q.b[0] == given[0]).all()
    assert (q.b[1] == given[32]).all()
    assert (q.b[64] == given[64]).all()


@pytest.mark.parametrize(
    ("config", "scalings"),
    [
        ({}, {"attn_q": 2.0, "ffn_up": 2.0}),
        ({"use_rslora": True}, {"attn_q": 4.0, "ffn_up": 4.0}),
        ({"alpha_pattern": {"q_proj": 16}}, {"attn_q": 4.0, "ffn_up": 2.0}),
        ({"alpha_pattern": {"layers.0.mlp.up_proj": 2}, "use_rslora": True}, {"attn_q": 4.0, "ffn_up": 1.0}),
    ],
    ids=["plain", "rsLoRA", "alpha pattern", "both"],
)
def test_scales_are_folded_in_exactly(
    tmp_path: Path, base: BaseModel, config: dict[str, Any], scalings: dict[str, float]
) -> None:
    plain = {p.module: p for p in read_peft(folder(tmp_path / "plain"), base).pairs}
    adapter = read_peft(folder(tmp_path / "p", **config), base)
    for pair in adapter.pairs:
        wanted = next(scaling for name, scaling in scalings.items() if name in pair.module)
        assert adapter.scaling(pair) * pair.b == pytest.approx(wanted * plain[pair.module].b, rel=1e-6)


def test_ranks_may_differ_by_pattern(tmp_path: Path, base: BaseModel) -> None:
    tensors = factors() | factors(rank=2, block=1)
    adapter = read_peft(folder(tmp_path / "p", tensors, rank_pattern={"layers.1.*": 2}), base)
    assert adapter.ranks == (2, 4)
    norms = {pair.module: adapter.update_norm(pair) for pair in adapter.pairs}
    a, b = (tensors[f"{PREFIX}.1.mlp.up_proj.lora_{side}.weight"] for side in "AB")
    # alpha / r is 8 / 2
    assert norms["blk.1.ffn_up.weight"] == pytest.approx(np.linalg.norm(4 * b @ a), rel=1e-5)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"use_dora": True}, "DoRA.*merge_and_unload"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \[.lm_head.\].*merge_and_unload"),
        ({"peft_type": "IA3"}, "only LORA"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
    ],
)
def test_what_gguf_cannot_say_is_refused_with_the_way_out(
    tmp_path: Path, base: BaseModel, config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        read_peft(folder(tmp_path / "p", **config), base)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (f"{PREFIX}.0.mlp.up_proj.lora_magnitude_vector", "factors alone"),
        ("base_model.model.lm_head.weight", "factors alone"),
        (f"{PREFIX}.0.mlp.up_proj.lora_B.bias", "factors alone"),
        (f"{PREFIX}.0.mlp.gate_proj.lora_A.weight", "one factor is missing"),
    ],
)
def test_tensors_that_are_no_pair_are_named(tmp_path: Path, base: BaseModel, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as found:
        read_peft(folder(tmp_path / "p", factors() | {name: np.zeros((4, 4), np.float32)}), base)
    assert name.removeprefix("base_model.model.").split(".lora_")[0] in str(found.value)


def test_a_family_that_is_not_known_is_refused(tmp_path: Path, base: BaseModel) -> None:
    with pytest.raises(UserError, match=r"the base is 'mamba', use llama\.cpp's convert_lora_to_gguf"):
        read_peft(folder(tmp_path / "p"), replace(base, architecture="mamba"))


def test_a_folder_that_does_not_fit_names_every_mismatch(tmp_path: Path, base: BaseModel) -> None:
    tensors = {name: np.zeros((4, 7) if "lora_A" in name else t.shape, np.float32) for name, t in factors().items()}
    with pytest.raises(UserError, match=r"2 mismatches.*256×7 in the adapter"):
        read_adapter(folder(tmp_path / "p", tensors), base)


def test_the_engine_takes_the_folder_itself(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "p", use_rslora=True)
    write_lora(read_peft(path, base), tmp_path / "same.gguf")
    totals = []
    for adapter in (path, tmp_path / "same.gguf"):
        with LlamaBackend(DEMO / "base.f32.gguf", adapter) as backend, backend.as_finetuned() as view:
            totals.append(view.rolling_logprob("Anna went to the market.").total_logprob)
    assert totals[0] == totals[1]
    assert math.isfinite(totals[0])


def altered(path: Path, base: BaseModel, **changed: Any) -> list[str]:
    """What `differences` says of the folder's own adapter with something changed."""
    original = read_peft(path, base)
    return differences(replace(original, **changed), original, base)


def test_an_adapter_is_the_folder_it_was_made_from(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "p")
    assert altered(path, base) == []
    half = tuple(replace(p, a=p.a.astype(np.float16).astype(np.float32)) for p in read_peft(path, base).pairs)
    assert altered(path, base, pairs=half) == []


def test_a_lost_rslora_factor_is_named(tmp_path: Path, base: BaseModel) -> None:
    found = altered(folder(tmp_path / "p", use_rslora=True), base, alpha=8.0)
    assert found == [
        "the whole GGUF runs at 0.5 times the scale it was trained at: 1/√4, the rsLoRA factor was lost in conversion"
    ]


def test_zero_adapters_are_the_same_and_a_zero_beside_numbers_is_named(tmp_path: Path, base: BaseModel) -> None:
    zero = {name: np.zeros_like(t) if "lora_B" in name else t for name, t in factors().items()}
    empty = folder(tmp_path / "zero", zero)
    assert altered(empty, base) == []
    full, nothing = (read_peft(path, base) for path in (folder(tmp_path / "p"), empty))
    assert differences(nothing, full, base)[0].endswith("is zero in the GGUF: that part of the training has no effect")
    assert differences(full, nothing, base)[1].endswith("is zero in the folder: the GGUF was made from another adapter")
    broken = replace(full.pairs[0], b=full.pairs[0].b * np.nan)
    found = altered(tmp_path / "p", base, pairs=(broken, *full.pairs[1:]))
    assert found == [
        f"{broken.module} holds NaN or infinity in the GGUF: the training diverged, or the file is damaged"
    ]


def test_missing_modules_wrong_rows_and_other_weights_are_named(tmp_path: Path, base: BaseModel) -> None:
    path = folder(tmp_path / "p")
    q, up = read_peft(path, base).pairs
    assert "ffn_up.weight is missing in the GGUF" in altered(path, base, pairs=(q,))[0]
    raw = factors()[f"{PREFIX}.0.self_attn.q_proj.lora_B.weight"]
    assert "needs a head's halves interleaved" in altered(path, base, pairs=(replace(q, b=raw), up))[0]
    assert "other weights" in altered(path, base, pairs=(q, replace(up, b=up.b[::-1].copy())))[0]
    assert "ffn_up.weight runs at 3 times" in altered(path, base, pairs=(q, replace(up, b=3 * up.b)))[0]


def test_a_folder_of_a_deeper_base_is_said_to_be_of_another(tmp_path: Path, base: BaseModel) -> None:
    """That llama.cpp had no name for a block which is not there read as if the module could not be converted."""
    with pytest.raises(UserError, match=r"layers\.7\.\S+, and the base has 3 blocks; give the base"):
        read_peft(folder(tmp_path / "p", factors(block=7)), base)
