"""Mixtures of experts: stacks made of what trainers name one by one, counted, merged, and run by llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.experts import Factors, adapted_experts, stacked
from sway_gguf.artifacts.facts import adapter_facts
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.lora_write import write_lora
from sway_gguf.artifacts.merge import copy_metadata, update
from sway_gguf.artifacts.null import null_adapter
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.views import NullDesign, NullView
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.replay import replay
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import finish
from tests.command_line import succeeded
from tests.test_mlx import mlx_folder

EMBED, HIDDEN, EXPERTS, RANK = 64, 48, 4, 2
PREFIX = "base_model.model.model.layers.0"
TEXT = "One sunny Monday, Anna went to the market."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qwen3moe of one block and four experts, of which two answer, with random weights and the demo's tokenizer."""
    path, rng = tmp_path_factory.mktemp("moe") / "moe.gguf", np.random.default_rng(0)
    writer, tokenizer = gguf.GGUFWriter(path, "qwen3moe"), GGUFFile(DEMO / "base.f32.gguf")
    copy_metadata(tokenizer, writer, lambda key: key.startswith("tokenizer.ggml."))
    writer.add_context_length(256)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_expert_feed_forward_length(HIDDEN)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(2)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    rows = tokenizer.array_length("tokenizer.ggml.tokens") or 0
    shapes = {
        "token_embd": (rows, EMBED),
        **{f"blk.0.attn_{name}": (EMBED, EMBED) for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate_inp": (EXPERTS, EMBED),
        "blk.0.ffn_gate_exps": (EXPERTS, HIDDEN, EMBED),
        "blk.0.ffn_up_exps": (EXPERTS, HIDDEN, EMBED),
        "blk.0.ffn_down_exps": (EXPERTS, EMBED, HIDDEN),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (rng.normal(size=shape) * 0.2).astype(np.float32))
    for name, width in (("output_norm", EMBED), ("blk.0.attn_norm", EMBED), ("blk.0.ffn_norm", EMBED)):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    for name in ("blk.0.attn_q_norm", "blk.0.attn_k_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, np.float32))
    return finish(writer, path)


def expert_factors(numbers: tuple[int, ...], rank: int = RANK) -> dict[str, np.ndarray]:
    """Factors of gate and down of some experts, under the names of transformers."""
    rng, found = np.random.default_rng(7), {}
    for number in numbers:
        for part, (rows, columns) in {"gate_proj": (HIDDEN, EMBED), "down_proj": (EMBED, HIDDEN)}.items():
            name = f"{PREFIX}.mlp.experts.{number}.{part}"
            found[f"{name}.lora_A.weight"] = rng.normal(size=(rank, columns)).astype(np.float32)
            found[f"{name}.lora_B.weight"] = (rng.normal(size=(rows, rank)) * 0.2).astype(np.float32)
    return found


def peft(path: Path, tensors: dict[str, np.ndarray], **config: object) -> Path:
    path.mkdir(exist_ok=True)
    about = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4, "target_modules": ["gate_proj", "down_proj"]}
    (path / "adapter_config.json").write_text(json.dumps(about | config), encoding="utf-8")
    save_file(tensors, path / "adapter_model.safetensors")
    return path


def test_experts_are_stacked_by_hand(tmp_path: Path) -> None:
    one, three = np.ones((1, 2), np.float32), np.full((2, 2), 3.0, np.float32)
    found = stacked(
        tmp_path,
        {
            "l.experts.1.up": Factors(one, np.ones((3, 1), np.float32), 2.0),
            "l.experts.3.up": Factors(three, np.ones((3, 2), np.float32), 1.0),
            "l.q": Factors(one, one.T, 2.0),
        },
        4,
    )
    assert set(found) == {"l.q", "l.experts.up"}
    stack = found["l.experts.up"]
    assert (stack.a.shape, stack.b.shape, stack.scaling) == ((4, 2, 2), (4, 3, 2), 2.0)
    assert stack.a[1].tolist() == [[1, 1], [0, 0]]  # Rank 1 among rank 2.
    assert stack.b[3].tolist() == [[0.5, 0.5]] * 3  # Half of the scaling went into B.
    assert not stack.a[[0, 2]].any()
    with pytest.raises(UserError, match="the base has 2 experts"):
        stacked(tmp_path, {"l.experts.2.up": Factors(one, one.T, 1.0)}, 2)


def test_a_folder_names_each_expert_and_the_update_is_each_ones_own(tmp_path: Path, base: Path) -> None:
    tensors = expert_factors((0, 2))
    adapter = read_peft(peft(tmp_path / "p", tensors), read_base(base))
    assert [pair.module for pair in adapter.pairs] == ["blk.0.ffn_down_exps.weight", "blk.0.ffn_gate_exps.weight"]
    gate = update(adapter, adapter.pairs[1], 1.0)
    name = f"{PREFIX}.mlp.experts.2.gate_proj"
    wanted = 2.0 * tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]
    assert gate[2] == pytest.approx(wanted, abs=1e-5)
    assert not gate[[1, 3]].any()
    assert adapted_experts(adapter) == {"blk.0.ffn_down_exps.weight": [0, 2], "blk.0.ffn_gate_exps.weight": [0, 2]}


def test_what_peft_packs_is_taken_apart_as_peft_multiplies_it(tmp_path: Path, base: Path) -> None:
    """The update of expert e is that of peft's own einsum, "o r e, e r i -> e o i", the gate in the first half."""
    rng = np.random.default_rng(1)
    packed = {
        f"{PREFIX}.mlp.experts.base_layer": (EMBED, 2 * HIDDEN, 2 * RANK),
        f"{PREFIX}.mlp.experts": (HIDDEN, EMBED, RANK),
    }
    tensors = {}
    for name, (columns, rows, rank) in packed.items():
        tensors[f"{name}.lora_A.weight"] = rng.normal(size=(EXPERTS * rank, columns)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = rng.normal(size=(rows, rank * EXPERTS)).astype(np.float32)
    # peft looks up patterns by the parameter's name; twice alpha over twice the rank is the same scaling.
    patterns = {"alpha_pattern": {r".*\.gate_up_proj": 8}, "rank_pattern": {r".*\.gate_up_proj": 2 * RANK}}
    folder = peft(tmp_path / "p", tensors, target_modules=[], target_parameters=["gate_up_proj"], **patterns)
    adapter = read_peft(folder, read_base(base))
    wanted = {}
    for name, (columns, rows, rank) in packed.items():
        a = tensors[f"{name}.lora_A.weight"].reshape(EXPERTS, rank, columns)
        b = tensors[f"{name}.lora_B.weight"].reshape(rows, rank, EXPERTS)
        wanted[name] = 2.0 * np.einsum("ore,eri->eoi", b, a)
    gate_up, down = wanted.values()
    found = {pair.module.split(".")[2]: update(adapter, pair, 1.0) for pair in adapter.pairs}
    assert found["ffn_gate_exps"] == pytest.approx(gate_up[:, :HIDDEN], abs=1e-4)
    assert found["ffn_up_exps"] == pytest.approx(gate_up[:, HIDDEN:], abs=1e-4)
    assert found["ffn_down_exps"] == pytest.approx(down, abs=1e-4)


def test_llama_cpp_runs_it_as_it_runs_the_merged_model_and_nulls_are_as_large(tmp_path: Path, base: Path) -> None:
    adapter = read_peft(peft(tmp_path / "p", expert_factors((0, 1, 2, 3))), read_base(base))
    merge(base, adapter, tmp_path / "m.gguf", kind="F32")
    assert {one.state for one in replay(read_base(tmp_path / "m.gguf"), read_base(base), adapter).tensors} == {"whole"}
    settings, null = EngineSettings(kv_type="f32"), null_adapter(adapter, 1)
    for real, drawn in zip(adapter.pairs, null.pairs, strict=True):
        assert drawn.product_norm() == pytest.approx(real.product_norm(), rel=1e-4)
    with LlamaBackend(base, adapter, settings) as backend:
        with backend.as_base() as view:
            alone = view.rolling_logprob(TEXT).logprobs
        with backend.as_finetuned() as view:
            tuned = view.rolling_logprob(TEXT).logprobs
        with backend.open(NullView(1, NullDesign())) as view:
            random = view.rolling_logprob(TEXT).logprobs
    with LlamaBackend(tmp_path / "m.gguf", None, settings) as backend, backend.as_base() as view:
        merged = view.rolling_logprob(TEXT).logprobs
    assert merged == pytest.approx(tuned, abs=1e-3)
    assert np.abs(tuned - alone).max() > 0.05
    assert np.abs(random - alone).max() > 0.05
    assert all(fact.finite for fact in adapter_facts(adapter).modules)


def test_mlx_stacks_are_the_same_stacks(tmp_path: Path, base: Path) -> None:
    tensors = expert_factors((0, 1, 2, 3))
    whole = read_peft(peft(tmp_path / "p", tensors), read_base(base))
    stacks = {
        f"model.layers.0.mlp.switch_mlp.{part}.lora_{side.lower()}": np.stack(
            [tensors[f"{PREFIX}.mlp.experts.{n}.{part}.lora_{side}.weight"] for n in range(EXPERTS)]
        )
        for part in ("gate_proj", "down_proj")
        for side in "AB"
    }
    adapter = read_peft(
        mlx_folder(tmp_path / "m", stacks, lora_parameters={"rank": RANK, "scale": 2.0}), read_base(base)
    )
    for mine, theirs in zip(adapter.pairs, whole.pairs, strict=True):
        assert mine.module == theirs.module
        assert np.array_equal(mine.a, theirs.a)
        assert np.array_equal(mine.b, theirs.b)


def test_inspect_counts_the_experts(tmp_path: Path, base: Path) -> None:
    model, out = read_base(base), tmp_path / "a.gguf"
    write_lora(read_peft(peft(tmp_path / "p", expert_factors((0, 2))), model), out)
    text = " ".join(succeeded("inspect", str(base), str(out)).split())
    assert "experts 2 of 4 adapted in ffn_down_exps of blocks 0, ffn_gate_exps of blocks 0" in text
    assert "fits" in text
    attention = {
        f"{PREFIX}.self_attn.q_proj.lora_{side}.weight": np.ones(shape, np.float32)
        for side, shape in (("A", (RANK, EMBED)), ("B", (EMBED, RANK)))
    }
    folder = peft(tmp_path / "q", attention, target_modules=["q_proj", "gate_proj"])
    text = " ".join(succeeded("inspect", str(base), str(folder)).split())
    assert "experts 0 of 4 adapted" in text
    assert "of target_modules: attention 1 of 1, experts 0 of 1" in text
    assert read_lora(out).pairs[0].a.shape == (EXPERTS, RANK, HIDDEN)
