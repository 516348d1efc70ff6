"""Tiny GGUF files made in process: a base of two blocks and LoRA adapters for it, right or wrong in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from sway_gguf.artifacts.lora import LoraAdapter

Factors = Mapping[str, tuple[np.ndarray, np.ndarray]]

EMBED, HIDDEN, VOCABULARY = 16, 24, 32
SHAPES = {
    "token_embd.weight": (VOCABULARY, EMBED),
    "output_norm.weight": (EMBED,),
    "blk.0.attn_q.weight": (EMBED, EMBED),
    "blk.0.ffn_up.weight": (HIDDEN, EMBED),
    "blk.1.ffn_down.weight": (EMBED, HIDDEN),
}
ADAPTED = ("blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.ffn_down.weight")


def factors(rank: int = 4, seed: int = 0, modules: tuple[str, ...] = ADAPTED) -> dict[str, tuple[Any, Any]]:
    """Gaussian A [r, d_in] and B [d_out, r] for each module."""
    rng = np.random.default_rng(seed)
    return {
        module: (
            rng.normal(size=(rank, SHAPES[module][1])).astype(np.float32),
            rng.normal(size=(SHAPES[module][0], rank)).astype(np.float32),
        )
        for module in modules
    }


def base_file(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    architecture: str = "llama",
    metadata: Callable[[gguf.GGUFWriter], None] | None = None,
) -> Path:
    """A base that is whole as far as its header goes; `metadata` is added to the usual keys."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_context_length(64)
    for name, shape in shapes.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    if metadata:
        metadata(writer)
    return finish(writer, path)


def adapter_file(
    path: Path,
    pairs: Factors | None = None,
    *,
    metadata: Callable[[gguf.GGUFWriter], None] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    architecture: str = "llama",
) -> Path:
    """An adapter; `metadata` takes the place of the usual keys, `extra` tensors are added as they are."""
    writer = gguf.GGUFWriter(path, architecture)
    (metadata or usual_metadata)(writer)
    for module, (a, b) in (factors() if pairs is None else pairs).items():
        writer.add_tensor(f"{module}.lora_a", a)
        writer.add_tensor(f"{module}.lora_b", b)
    for name, tensor in (extra or {}).items():
        writer.add_tensor(name, tensor)
    return finish(writer, path)


def usual_metadata(writer: gguf.GGUFWriter) -> None:
    """What llama.cpp's converter writes."""
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)


def spoiled(adapter: LoraAdapter, place: int, value: float = math.nan) -> LoraAdapter:
    """The adapter with one number of one B replaced."""
    pairs = list(adapter.pairs)
    b = pairs[place].b.copy()
    b[0, 0] = value
    pairs[place] = replace(pairs[place], b=b)
    return replace(adapter, pairs=tuple(pairs))


def finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    """Write everything out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
