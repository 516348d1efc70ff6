"""Plants one fault in an adapter, or in a base. Knows factors and files; nothing of training or of verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks.original import write_peft
from benchmarks.peft_names import halves_apart
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile, encoded, storable
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.artifacts.peft import heads_of, interleaved

Which = Callable[[str], bool]


def scaled(adapter: LoraAdapter, factor: float) -> LoraAdapter:
    """At another scale than it was trained at: its alpha times `factor`."""
    return replace(adapter, alpha=adapter.alpha * factor)


def inverted(adapter: LoraAdapter) -> LoraAdapter:
    """Away from what it learned: B turned round."""
    return _each(adapter, lambda pair: replace(pair, b=-pair.b))


def zeroed(adapter: LoraAdapter, which: Which = lambda module: True) -> LoraAdapter:
    """B zero in some modules."""
    return _each(adapter, lambda pair: replace(pair, b=np.zeros_like(pair.b)) if which(pair.module) else pair)


def only(adapter: LoraAdapter, which: Which) -> LoraAdapter:
    """Without the other modules."""
    return replace(adapter, pairs=tuple(pair for pair in adapter.pairs if which(pair.module)))


def spoiled(adapter: LoraAdapter, place: int, value: float) -> LoraAdapter:
    """One number of one module's B replaced."""
    pairs = list(adapter.pairs)
    b = pairs[place].b.copy()
    b[0, 0] = value
    pairs[place] = replace(pairs[place], b=b)
    return replace(adapter, pairs=tuple(pairs))


def noise(adapter: LoraAdapter, seed: int, times: float = 1.0) -> LoraAdapter:
    """Gaussian factors in place of the trained ones, `times` as large an update module by module."""
    rng = np.random.default_rng(seed)

    def drawn(pair: LoraPair) -> LoraPair:
        a, b = (rng.normal(size=factor.shape).astype(np.float32) for factor in (pair.a, pair.b))
        made = replace(pair, a=a, b=b)
        return replace(made, b=b * np.float32(times * pair.product_norm() / made.product_norm()))

    return _each(adapter, drawn)


def in_half_precision(adapter: LoraAdapter) -> LoraAdapter:
    """As converters write it by default."""
    return _each(adapter, lambda pair: replace(pair, a_type="F16", b_type="F16"))


def not_permuted(adapter: LoraAdapter, base: BaseModel) -> LoraAdapter:
    """Rows of queries and keys in the order of peft, as a converter leaves them that does not know of llama.cpp's."""
    return _rows(adapter, base, halves_apart)


def permuted_twice(adapter: LoraAdapter, base: BaseModel) -> LoraAdapter:
    """Their rows put into llama.cpp's order once more than they should."""
    return _rows(adapter, base, interleaved)


def source(adapter: LoraAdapter, base: BaseModel, folder: Path, *, rank_stabilized: bool = False) -> Path:
    """The PEFT folder that the adapter came from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_peft(adapter, base, folder)
    if rank_stabilized:
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {"use_rslora": True, "lora_alpha": adapter.alpha / np.sqrt(config["r"])}
        path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def without_factor(adapter: LoraAdapter) -> LoraAdapter:
    """An rsLoRA as a converter writes it that takes its alpha for a common LoRA's: 1/√r of its scale."""
    (rank,) = adapter.ranks
    return scaled(adapter, rank**-0.5)


def twin(base: Path, path: Path, seed: int) -> Path:
    """Another base of the same shapes, just as able: all hidden channels stand in another order.

    What it computes is the same, and no adapter of the one knows its way about in the other.
    """
    file, rng = GGUFFile(base), np.random.default_rng(seed)
    width = file.whole(f"{file.architecture}.embedding_length")
    stream = rng.permutation(width)
    inner = {block: rng.permutation(file.whole(f"{file.architecture}.feed_forward_length")) for block in range(_MOST)}

    def moved(name: str) -> NDArray[np.float32]:
        weights = file.read(name)
        block = int(name.split(".")[1]) if name.startswith("blk.") else 0
        kind = name.split(".")[-2]
        weights = weights[stream] if kind in ("attn_output", "ffn_down") else weights[..., stream]
        if kind in ("ffn_gate", "ffn_up"):
            weights = weights[inner[block]]
        return weights[:, inner[block]] if kind == "ffn_down" else weights

    own = {"general.architecture", "general.file_type", "general.quantization_version", "general.alignment"}
    with closing(gguf.GGUFWriter(path, file.architecture)) as writer:
        copy_metadata(file, writer, lambda key: key not in own)
        for name in file.tensors:
            kind = storable(file.tensors[name].type)
            writer.add_tensor(name, encoded(np.ascontiguousarray(moved(name)), kind, name), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    return path


_MOST = 256
"""Blocks of a model, at most."""


def _each(adapter: LoraAdapter, changed: Callable[[LoraPair], LoraPair]) -> LoraAdapter:
    return replace(adapter, pairs=tuple(map(changed, adapter.pairs)))


def _rows(
    adapter: LoraAdapter,
    base: BaseModel,
    moved: Callable[[NDArray[np.float32], int], NDArray[np.float32]],
) -> LoraAdapter:
    def changed(pair: LoraPair) -> LoraPair:
        heads = heads_of(pair.module, base)
        return replace(pair, b=moved(pair.b, heads)) if heads else pair

    return _each(adapter, changed)
