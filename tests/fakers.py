"""Adapters that do something, and not what they are held to be: damaged, over-confident. Made in process.

Each stands apart from random rotations of itself, so nulls alone do not find it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.lora_write import write_lora

FloatArray = NDArray[np.float32]


def damaged(base: Path, adapter: LoraAdapter, share: float = 0.5) -> LoraAdapter:
    """Takes a share of the strongest directions of each adapted weight away: what the base knew best."""
    file = GGUFFile(base)
    pairs = []
    for pair in adapter.pairs:
        u, s, v = np.linalg.svd(file.read(pair.module).astype(np.float64), full_matrices=False)
        r = pair.rank
        b = (-share * u[:, :r] * s[:r] / adapter.scaling(pair)).astype(np.float32)
        pairs.append(replace(pair, a=v[:r].astype(np.float32), b=b, a_type="F32", b_type="F32"))
    return replace(adapter, pairs=tuple(pairs))


def with_head(base: Path, out: Path) -> Path:
    """The base with its output matrix as a tensor of its own, so that an adapter can reach it."""
    reader = gguf.GGUFReader(base)
    writer = gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind = field.types[0]
            writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
        if tensor.name == "token_embd.weight":
            writer.add_tensor("output.weight", tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def over_confident(base: Path, power: float) -> LoraAdapter:
    """Every logit times `power`: sharper above 1, flatter below. `base` must have an output matrix of its own."""
    head = GGUFFile(base).read("output.weight").astype(np.float32)
    width = head.shape[1]
    pair = LoraPair("output.weight", np.eye(width, dtype=np.float32), (power - 1) * head, "F32", "F32")
    return LoraAdapter(base, read_base(base).architecture, float(width), (pair,))


def written(adapter: LoraAdapter, path: Path) -> Path:
    """The adapter as a file."""
    write_lora(adapter, path)
    return path


def fond_of(base: Path, tokens: Sequence[int], direction: FloatArray, strength: float) -> LoraAdapter:
    """Finds some tokens likelier wherever the hidden state leans in a direction, that is, about everywhere.

    Args:
        base: with an output matrix of its own.
        tokens: ids that it is fond of.
        direction: [d], such as the mean of hidden states.
        strength: about how much their logits rise.
    """
    rows, width = GGUFFile(base).read("output.weight").shape
    b = np.zeros((rows, 1), np.float32)
    b[list(tokens)] = strength
    a = (direction / (direction @ direction)).reshape(1, width).astype(np.float32)
    return LoraAdapter(base, read_base(base).architecture, 1.0, (LoraPair("output.weight", a, b, "F32", "F32"),))
