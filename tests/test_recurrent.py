"""Models with a recurrent state, alone and beside attention: adapters, nulls and merges work as on any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import read_lora
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.errors import UserError
from sway_gguf.core.views import NullDesign, NullView
from sway_gguf.deploy.merge import merge
from sway_gguf.deploy.replay import replay
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import adapter_file, finish
from tests.command_line import succeeded
from tests.test_cli import TEXT
from tests.test_peft import folder

EMBED, INNER, STATE, RANK, HIDDEN = 64, 128, 8, 4, 96
TEXTS = ["One sunny Monday, Anna went to the market.", "Tom had a boat.", "The red basket was empty, and so was she."]
MAMBA = {
    "ssm_in": (2 * INNER, EMBED),
    "ssm_conv1d": (INNER, 4),
    "ssm_x": (RANK + 2 * STATE, INNER),
    "ssm_dt": (INNER, RANK),
    "ssm_out": (EMBED, INNER),
}
MLP = {"ffn_gate": (HIDDEN, EMBED), "ffn_up": (HIDDEN, EMBED), "ffn_down": (EMBED, HIDDEN)}
SHORT = {"shortconv.conv": (EMBED, 3), "shortconv.in_proj": (3 * EMBED, EMBED), "shortconv.out_proj": (EMBED, EMBED)}
ATTENTION = {f"attn_{name}": (EMBED, EMBED) for name in ("q", "k", "v", "output")}
ADAPTED = {"mamba": ("blk.0.ssm_in", "blk.1.ssm_out"), "lfm2": ("blk.0.shortconv.in_proj", "blk.1.attn_q")}


def mamba(writer: gguf.GGUFWriter) -> Mapping[str, tuple[int, ...]]:
    """Two blocks; the state decays by the exponential of what ssm_a holds, which is negative."""
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    writer.add_head_count(0)
    writer.add_feed_forward_length(0)
    for block in range(2):
        writer.add_tensor(f"blk.{block}.ssm_a", -np.ones((INNER, STATE), np.float32))
        writer.add_tensor(f"blk.{block}.ssm_d", np.ones(INNER, np.float32))
        for name in ("ssm_conv1d", "ssm_dt"):
            writer.add_tensor(f"blk.{block}.{name}.bias", np.full(INNER, 0.1, np.float32))
        writer.add_tensor(f"blk.{block}.attn_norm.weight", np.ones(EMBED, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(EMBED, np.float32))
    return {f"blk.{block}.{name}": shape for block in range(2) for name, shape in MAMBA.items()}


def lfm2(writer: gguf.GGUFWriter) -> Mapping[str, tuple[int, ...]]:
    """A block of short convolutions, whose state is recurrent, and one of attention."""
    writer.add_shortconv_l_cache(3)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 2])
    writer.add_feed_forward_length(HIDDEN)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(GGUFFile(DEMO / "base.f32.gguf").array_length("tokenizer.ggml.tokens") or 0)
    for block in range(2):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{block}.{name}.weight", np.ones(EMBED, np.float32))
    for name in ("attn_q_norm", "attn_k_norm"):
        writer.add_tensor(f"blk.1.{name}.weight", np.ones(EMBED // 2, np.float32))
    writer.add_tensor("token_embd_norm.weight", np.ones(EMBED, np.float32))
    first = {f"blk.0.{name}": shape for name, shape in {**SHORT, **MLP}.items()}
    return first | {f"blk.1.{name}": shape for name, shape in {**ATTENTION, **MLP}.items()}


BUILT: dict[str, Callable[[gguf.GGUFWriter], Mapping[str, tuple[int, ...]]]] = {"mamba": mamba, "lfm2": lfm2}


def written(path: Path, architecture: str) -> Path:
    """A model of random weights with the demo's tokenizer."""
    writer, tokenizer = gguf.GGUFWriter(path, architecture), GGUFFile(DEMO / "base.f32.gguf")
    copy_metadata(tokenizer, writer, lambda key: key.startswith("tokenizer.ggml."))
    writer.add_context_length(512)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    rng = np.random.default_rng(0)
    rows = tokenizer.array_length("tokenizer.ggml.tokens") or 0
    for name, shape in {**BUILT[architecture](writer), "token_embd": (rows, EMBED)}.items():
        writer.add_tensor(f"{name}.weight", (rng.normal(size=shape) * 0.2).astype(np.float32))
    return finish(writer, path)


def adapter(path: Path, base: Path, architecture: str) -> Path:
    rng, tensors = np.random.default_rng(1), read_base(base).tensors
    pairs = {}
    for name in ADAPTED[architecture]:
        rows, columns = tensors[f"{name}.weight"].shape
        a, b = rng.normal(size=(RANK, columns)), rng.normal(size=(rows, RANK)) * 0.05
        pairs[f"{name}.weight"] = (a.astype(np.float32), b.astype(np.float32))
    return adapter_file(path, pairs, architecture=architecture)


@pytest.mark.parametrize("architecture", sorted(BUILT))
def test_adapter_null_and_merge_work(tmp_path: Path, architecture: str) -> None:
    base = written(tmp_path / "base.gguf", architecture)
    lora = adapter(tmp_path / "lora.gguf", base, architecture)
    merge(base, read_lora(lora), tmp_path / "merged.gguf", kind="F32")
    found = replay(read_base(tmp_path / "merged.gguf"), read_base(base), read_lora(lora))
    assert {one.state for one in found.tensors} == {"whole"}
    settings, answers = EngineSettings(kv_type="f32"), {}
    with LlamaBackend(base, lora, settings) as backend:
        doors = {"base": backend.as_base, "tuned": backend.as_finetuned}
        for name, door in doors.items():
            with door() as view:
                answers[name] = [each.logprobs for each in view.rolling_logprob_many(TEXTS)]
                alone = [view.rolling_logprob(text).logprobs for text in TEXTS]
                assert len(view.generate("Anna", max_new_tokens=8)) > 0
            for one, other in zip(answers[name], alone, strict=True):
                assert one == pytest.approx(other, abs=1e-3)
        with backend.open(NullView(1, NullDesign())) as view:
            answers["null"] = [each.logprobs for each in view.rolling_logprob_many(TEXTS)]
        with backend.as_base() as view:
            answers["again"] = [each.logprobs for each in view.rolling_logprob_many(TEXTS)]
    with LlamaBackend(tmp_path / "merged.gguf", None, settings) as backend, backend.as_base() as view:
        answers["merged"] = [each.logprobs for each in view.rolling_logprob_many(TEXTS)]
    for place in range(len(TEXTS)):
        assert answers["merged"][place] == pytest.approx(answers["tuned"][place], abs=2e-3)
        assert answers["again"][place] == pytest.approx(answers["base"][place], abs=1e-5)
        assert np.abs(answers["tuned"][place] - answers["base"][place]).max() > 0.01
        assert np.abs(answers["null"][place] - answers["base"][place]).max() > 0.01


def test_check_runs_on_it(tmp_path: Path) -> None:
    base = written(tmp_path / "base.gguf", "mamba")
    lora = adapter(tmp_path / "lora.gguf", base, "mamba")
    text = succeeded("check", str(base), str(lora), *TEXT, "--nulls", "5", "--no-store")
    assert "delta_kl" in text


def test_its_peft_folders_are_refused_with_the_way_out(tmp_path: Path) -> None:
    base = read_base(written(tmp_path / "base.gguf", "mamba"))
    with pytest.raises(UserError, match=r"the base is 'mamba', use llama\.cpp's convert_lora_to_gguf\.py"):
        read_peft(folder(tmp_path / "p"), base)
