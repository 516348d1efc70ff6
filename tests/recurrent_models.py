"""Random models of the kinds whose state is recurrent, alone and beside attention, written as llama.cpp reads them.

Knows metadata and shapes; a tensor's name follows llama.cpp, and its shape is numpy's, the reverse of ggml's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.material.packaged import DEMO
from tests.artifact_files import adapter_file, finish

EMBED, INNER, STATE, RANK, HIDDEN, HEADS, GROUPS = 64, 128, 16, 4, 96, 4, 2
CONV = INNER + 2 * GROUPS * STATE
"""Channels of mamba2's convolution: the values, and the two sides of the state for each group."""
Shapes = Mapping[str, tuple[int, ...]]

MLP: Shapes = {"ffn_gate": (HIDDEN, EMBED), "ffn_up": (HIDDEN, EMBED), "ffn_down": (EMBED, HIDDEN)}
ATTENTION: Shapes = {f"attn_{name}": (EMBED, EMBED) for name in ("q", "k", "v", "output")}
SHORT: Shapes = {
    "shortconv.conv": (EMBED, 3),
    "shortconv.in_proj": (3 * EMBED, EMBED),
    "shortconv.out_proj": (EMBED, EMBED),
}
MAMBA: Shapes = {
    "ssm_in": (2 * INNER, EMBED),
    "ssm_conv1d": (INNER, 4),
    "ssm_x": (RANK + 2 * STATE, INNER),
    "ssm_dt": (INNER, RANK),
    "ssm_out": (EMBED, INNER),
}
MAMBA2: Shapes = {"ssm_in": (INNER + CONV + HEADS, EMBED), "ssm_conv1d": (CONV, 4), "ssm_out": (EMBED, INNER)}
SQUARE = (EMBED, EMBED)
RWKV7: Shapes = {
    **{f"time_mix_{name}1": (RANK, EMBED) for name in "wavg"},
    **{f"time_mix_{name}2": (EMBED, RANK) for name in "wavg"},
    "time_mix_lerp_fused": (6, 1, 1, EMBED),
    **{f"time_mix_{name}": SQUARE for name in ("key", "value", "receptance", "output")},
    "channel_mix_lerp_k": (1, 1, EMBED),
    "channel_mix_key": (HIDDEN, EMBED),
    "channel_mix_value": (EMBED, HIDDEN),
}
RWKV6: Shapes = {
    "time_mix_w1": (5 * RANK, EMBED),
    "time_mix_w2": (5, EMBED, RANK),
    "time_mix_lerp_x": (1, 1, EMBED),
    "time_mix_lerp_fused": (5, 1, 1, EMBED),
    "time_mix_first": (1, EMBED),
    "time_mix_decay_w1": (RANK, EMBED),
    "time_mix_decay_w2": (EMBED, RANK),
    **{f"time_mix_{name}": SQUARE for name in ("key", "value", "receptance", "gate", "output")},
    **{f"channel_mix_lerp_{name}": (1, 1, EMBED) for name in "kr"},
    "channel_mix_key": (HIDDEN, EMBED),
    "channel_mix_value": (EMBED, HIDDEN),
    "channel_mix_receptance": SQUARE,
}


def constant(writer: gguf.GGUFWriter, block: int, value: float, shapes: Shapes) -> None:
    """Tensors that hold one number, such as norms."""
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.{block}.{name}", np.full(shape, value, np.float32))


def ssm(writer: gguf.GGUFWriter, *, groups: int = 0) -> None:
    """What metadata say of mamba, or with groups of mamba2, whose heads take the place of the time step's rank."""
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(HEADS if groups else RANK)
    if groups:
        writer.add_ssm_group_count(groups)


def scanned(writer: gguf.GGUFWriter, block: int) -> Shapes:
    """A block of mamba; its state decays by the exponential of what ssm_a holds, which is negative."""
    constant(writer, block, -1.0, {"ssm_a": (INNER, STATE)})
    constant(writer, block, 1.0, {"ssm_d": (INNER,)})
    constant(writer, block, 0.1, {"ssm_conv1d.bias": (INNER,), "ssm_dt.bias": (INNER,)})
    return MAMBA


def scanned2(writer: gguf.GGUFWriter, block: int) -> Shapes:
    """The same of mamba2, by heads."""
    constant(writer, block, -1.0, {"ssm_a": (HEADS, 1)})
    constant(writer, block, 1.0, {"ssm_d": (HEADS, 1), "ssm_norm.weight": (GROUPS, INNER // GROUPS)})
    constant(writer, block, 0.1, {"ssm_conv1d.bias": (CONV,), "ssm_dt.bias": (HEADS,)})
    return MAMBA2


def normed(writer: gguf.GGUFWriter, blocks: int, *names: str) -> None:
    """Norms of every block."""
    for block in range(blocks):
        constant(writer, block, 1.0, dict.fromkeys(names, (EMBED,)))


def placed(*blocks: Shapes) -> Shapes:
    """The tensors of all blocks by their whole names."""
    return {f"blk.{place}.{name}": shape for place, block in enumerate(blocks) for name, shape in block.items()}


def mamba(writer: gguf.GGUFWriter) -> Shapes:
    ssm(writer)
    normed(writer, 2, "attn_norm.weight")
    return placed(*(scanned(writer, block) for block in range(2)))


def mamba2(writer: gguf.GGUFWriter) -> Shapes:
    ssm(writer, groups=GROUPS)
    normed(writer, 2, "attn_norm.weight")
    return placed(*(scanned2(writer, block) for block in range(2)))


def jamba(writer: gguf.GGUFWriter) -> Shapes:
    """A block of mamba with norms of its own, and one of attention."""
    ssm(writer)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 2])
    normed(writer, 2, "attn_norm.weight", "ffn_norm.weight")
    constant(writer, 0, 1.0, {"ssm_dt_norm.weight": (RANK,), "ssm_b_norm.weight": (STATE,)})
    constant(writer, 0, 1.0, {"ssm_c_norm.weight": (STATE,)})
    return placed({**scanned(writer, 0), **MLP}, {**ATTENTION, **MLP})


def granitehybrid(writer: gguf.GGUFWriter) -> Shapes:
    """A block of mamba2 and one of attention."""
    ssm(writer, groups=GROUPS)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 2])
    normed(writer, 2, "attn_norm.weight", "ffn_norm.weight")
    return placed({**scanned2(writer, 0), **MLP}, {**ATTENTION, **MLP})


def falcon_h1(writer: gguf.GGUFWriter) -> Shapes:
    """Mamba2 and attention side by side in each block."""
    ssm(writer, groups=GROUPS)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    normed(writer, 2, "attn_norm.weight", "ffn_norm")
    return placed(*({**scanned2(writer, block), **ATTENTION, **MLP} for block in range(2)))


def nemotron_h(writer: gguf.GGUFWriter) -> Shapes:
    """A block of mamba2, one of attention and one that only feeds forward."""
    ssm(writer, groups=GROUPS)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 2, 0])
    writer.add_layer_norm_eps(1e-5)
    normed(writer, 3, "attn_norm.weight")
    return placed(scanned2(writer, 0), ATTENTION, {name: MLP[name] for name in ("ffn_up", "ffn_down")})


def lfm2(writer: gguf.GGUFWriter) -> Shapes:
    """A block of short convolutions, whose state is recurrent, and one of attention."""
    writer.add_shortconv_l_cache(3)
    writer.add_head_count(2)
    writer.add_head_count_kv([0, 2])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(GGUFFile(DEMO / "base.f32.gguf").array_length("tokenizer.ggml.tokens") or 0)
    normed(writer, 2, "attn_norm.weight", "ffn_norm.weight")
    constant(writer, 1, 1.0, {f"attn_{name}_norm.weight": (EMBED // 2,) for name in "qk"})
    return placed({**SHORT, **MLP}, {**ATTENTION, **MLP})


def qwen35(writer: gguf.GGUFWriter) -> Shapes:
    """A block of linear attention, a gated delta net, and one of attention whose queries bring a gate."""
    keys, values = GROUPS * STATE, HEADS * STATE
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(values)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(HEADS)
    writer.add_ssm_group_count(GROUPS)
    writer.add_full_attention_interval(2)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_sections([8, 4, 4, 0])
    normed(writer, 2, "attn_norm.weight", "post_attention_norm.weight")
    constant(writer, 0, -1.0, {"ssm_a": (HEADS,)})
    constant(writer, 0, 0.1, {"ssm_dt.bias": (HEADS,)})
    constant(writer, 0, 1.0, {"ssm_norm.weight": (STATE,)})
    constant(writer, 1, 1.0, {f"attn_{name}_norm.weight": (EMBED // 2,) for name in "qk"})
    linear: Shapes = {
        "attn_qkv": (2 * keys + values, EMBED),
        "attn_gate": (values, EMBED),
        "ssm_conv1d": (2 * keys + values, 4),
        "ssm_beta": (HEADS, EMBED),
        "ssm_alpha": (HEADS, EMBED),
        "ssm_out": (EMBED, values),
    }
    return placed({**linear, **MLP}, {**ATTENTION, "attn_q": (2 * EMBED, EMBED), **MLP})


def _rwkv(writer: gguf.GGUFWriter) -> None:
    writer.add_wkv_head_size(EMBED)
    writer.add_token_shift_count(2)
    writer.add_layer_norm_eps(1e-5)
    normed(writer, 2, "attn_norm.weight", "attn_norm_2.weight", "time_mix_ln.weight")
    for block in range(2):
        names = ("attn_norm.bias", "attn_norm_2.bias", "time_mix_ln.bias")
        constant(writer, block, 0.0, dict.fromkeys(names, (EMBED,)))
    writer.add_tensor("output_norm.bias", np.zeros(EMBED, np.float32))
    writer.add_tensor("token_embd_norm.bias", np.zeros(EMBED, np.float32))


def rwkv6(writer: gguf.GGUFWriter) -> Shapes:
    _rwkv(writer)
    writer.add_time_mix_extra_dim(RANK)
    writer.add_time_decay_extra_dim(RANK)
    for block in range(2):
        constant(writer, block, -1.0, {"time_mix_decay.weight": (EMBED,)})
    return placed(RWKV6, RWKV6)


def rwkv7(writer: gguf.GGUFWriter) -> Shapes:
    _rwkv(writer)
    for add in ("decay", "iclr", "value_residual_mix", "gate"):
        getattr(writer, f"add_{add}_lora_rank")(RANK)
    names = ("w0", "a0", "v0", "k_k", "k_a", "r_k")
    for block in range(2):
        constant(writer, block, 0.1, {f"time_mix_{name}.weight": (EMBED,) for name in names})
    return placed(RWKV7, RWKV7)


BUILT: dict[str, Callable[[gguf.GGUFWriter], Shapes]] = {
    "mamba": mamba,
    "mamba2": mamba2,
    "jamba": jamba,
    "granitehybrid": granitehybrid,
    "falcon-h1": falcon_h1,
    "nemotron_h": nemotron_h,
    "lfm2": lfm2,
    "qwen35": qwen35,
    "rwkv6": rwkv6,
    "rwkv7": rwkv7,
}
FEED = {"mamba": 0, "mamba2": 0, "nemotron_h": [0, 0, HIDDEN]}
"""Width of the feed-forward layers, where it is not the same in every block."""
ADAPTED = {
    "mamba": ("blk.0.ssm_in", "blk.1.ssm_out"),
    "mamba2": ("blk.0.ssm_in", "blk.1.ssm_out"),
    "jamba": ("blk.0.ssm_x", "blk.0.ssm_out", "blk.1.attn_v", "blk.1.ffn_down"),
    "granitehybrid": ("blk.0.ssm_in", "blk.0.ssm_out", "blk.0.ffn_up", "blk.1.attn_q", "blk.1.attn_output"),
    "falcon-h1": ("blk.0.ssm_in", "blk.1.attn_v", "blk.1.ffn_down"),
    "nemotron_h": ("blk.0.ssm_in", "blk.1.attn_v", "blk.2.ffn_up"),
    "qwen35": ("blk.0.attn_qkv", "blk.0.ssm_out", "blk.1.attn_q"),
    "lfm2": ("blk.0.shortconv.in_proj", "blk.1.attn_q"),
    "rwkv6": ("blk.0.time_mix_key", "blk.1.channel_mix_receptance"),
    "rwkv7": ("blk.0.time_mix_receptance", "blk.1.time_mix_output"),
}
WITHOUT_HEADS = {"mamba", "mamba2", "rwkv6", "rwkv7"}
UNTIED = {"rwkv6", "rwkv7"}


def model_file(path: Path, architecture: str) -> Path:
    """A model of random weights with the demo's tokenizer."""
    writer, tokenizer = gguf.GGUFWriter(path, architecture), GGUFFile(DEMO / "base.f32.gguf")
    copy_metadata(tokenizer, writer, lambda key: key.startswith("tokenizer.ggml."))
    blocks = 3 if architecture == "nemotron_h" else 2
    writer.add_context_length(512)
    writer.add_embedding_length(EMBED)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(FEED.get(architecture, HIDDEN))
    writer.add_layer_norm_rms_eps(1e-5)
    if architecture in WITHOUT_HEADS:
        writer.add_head_count(0)
    embedded = (tokenizer.array_length("tokenizer.ggml.tokens") or 0, EMBED)
    shapes = {**BUILT[architecture](writer), "token_embd": embedded}
    norm = "token_embd_norm" if architecture == "lfm2" else "output_norm"
    writer.add_tensor(f"{norm}.weight", np.ones(EMBED, np.float32))
    if architecture in UNTIED:
        shapes["output"] = embedded
        writer.add_tensor("token_embd_norm.weight", np.ones(EMBED, np.float32))
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (rng.normal(size=shape) * 0.2).astype(np.float32))
    return finish(writer, path)


def lora_file(
    path: Path, base: Path, architecture: str, size: float = 0.05, modules: Sequence[str] | None = None
) -> Path:
    """An adapter for it, or for some of its modules; of size 0 one that changes nothing."""
    rng, tensors = np.random.default_rng(1), read_base(base).tensors
    pairs = {}
    for name in modules or ADAPTED[architecture]:
        rows, columns = tensors[f"{name}.weight"].shape
        a, b = rng.normal(size=(RANK, columns)), rng.normal(size=(rows, RANK)) * size
        pairs[f"{name}.weight"] = (a.astype(np.float32), b.astype(np.float32))
    return adapter_file(path, pairs, architecture=architecture)
