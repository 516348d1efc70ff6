"""Checkpoints of the demo's adapters as a trainer leaves them: mixes of two in PEFT folders. Made in process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, read_lora
from sway_gguf.artifacts.peft import heads_of
from sway_gguf.material.packaged import DEMO
from sway_gguf.material.read import read_material

HEALTHY, OVERTRAINED = DEMO / "healthy.lora.gguf", DEMO / "overtrained.lora.gguf"
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def mixed(shares: Mapping[Path, float]) -> LoraAdapter:
    """The sum of adapters' updates, each times its share: their factors side by side."""
    adapters = [(read_lora(path), share) for path, share in shares.items()]
    pairs = []
    for same in zip(*(adapter.pairs for adapter, _ in adapters), strict=True):
        scaled = [
            pair.b * (adapter.scaling(pair) * share) for pair, (adapter, share) in zip(same, adapters, strict=True)
        ]
        a, b = np.concatenate([pair.a for pair in same], axis=0), np.concatenate(scaled, axis=1)
        pairs.append(LoraPair(same[0].module, a, b.astype(np.float32), "F32", "F32"))
    return replace(adapters[0][0], alpha=float(pairs[0].rank), pairs=tuple(pairs), in_file=False)


def as_peft(adapter: LoraAdapter, folder: Path, base: BaseModel | None = None) -> Path:
    """Written as peft writes it: its names, and rows of queries and keys in the order of training."""
    base = base or read_base(DEMO / "base.f32.gguf")
    folder.mkdir(parents=True)
    tensors = {}
    for pair in adapter.pairs:
        _, block, name, _ = pair.module.split(".")
        module = f"base_model.model.model.layers.{block}.{_NAMES[name]}"
        heads = heads_of(pair.module, base)
        b = pair.b if not heads else pair.b.reshape(heads, -1, 2, pair.rank).swapaxes(1, 2).reshape(pair.b.shape)
        tensors[f"{module}.lora_A.weight"] = np.ascontiguousarray(pair.a)
        tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b)
    config = {"peft_type": "LORA", "r": adapter.ranks[0], "lora_alpha": adapter.alpha, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def texts(folder: Path) -> Path:
    """The demo's document, sentence by sentence: every second one as data, the others held out. Returns the folder."""
    sections = read_material(DEMO / "document.md").sections
    lines = [sentence.strip() for section in sections for sentence in section.text.split(". ") if len(sentence) > 30]
    for name, some in (("train.jsonl", lines[::2]), ("heldout.jsonl", lines[1::2])):
        records = "".join(json.dumps({"text": f"{line.rstrip('.')}."}) + "\n" for line in some)
        (folder / name).write_text(records, encoding="utf-8")
    return folder
