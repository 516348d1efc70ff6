"""A PEFT folder, or mlx-lm's, as a LoRA for llama.cpp: names, scaling and row order translated. Loads no torch.

What GGUF cannot say is folded in exactly (rsLoRA, alpha and rank patterns) or refused with the way out (DoRA, whole
modules, biases). Knows the families that it has been held against; any other architecture is refused.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
from gguf.tensor_mapping import TensorNameMap, get_tensor_name_map

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.experts import Factors, stacked, unpacked
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, Matrix
from sway_gguf.artifacts.mlx import MLX_WEIGHTS, OLD_WEIGHTS, has_mlx_weights, renamed
from sway_gguf.artifacts.peft_config import MERGE_FIRST, PeftConfig, read_config
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input
from sway_gguf.core.listing import few

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
FAMILIES = ("llama", "qwen2", "qwen3", "qwen3moe", "gemma2", "gemma3", "phi3")
_ROTARY_PAIRS = ("llama",)
"""Families whose q and k rows llama.cpp stores with the two halves of a head interleaved."""

_FACTOR = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>A|B)(\.default)?\.weight$")
_EMBEDDING = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_embedding_(?P<side>A|B)(\.default)?$")
_BLOCK = re.compile(r"\blayers\.(\d+)\.")


def read_peft(folder: Path, base: BaseModel) -> LoraAdapter:
    """Convert a PEFT folder, or one by mlx-lm, for `base`.

    The scaling of each pair is its own s = alpha / r, or alpha / √r under rsLoRA. GGUF has one alpha for all: it is
    that of the first pair, s·r, and every pair whose s·r differs has the quotient folded into its B.

    Raises:
        UserError: not a LoRA folder, a family that is not known, or something that GGUF cannot say.
    """
    if base.architecture not in FAMILIES:
        raise UserError(
            f"{folder}: PEFT folders are converted for {', '.join(FAMILIES)}; the base is {base.architecture!r}, "
            "use llama.cpp's convert_lora_to_gguf.py"
        )
    config = read_config(folder)
    factors = unpacked(folder, _factors(folder, tensors_of(folder, by_mlx=config.by_mlx)), base)
    scalings = _scalings(config, {module: b.shape[-1] for module, (_, b) in factors.items()})
    each = zip(factors.items(), scalings, strict=True)
    scaled = stacked(folder, {module: Factors(*pair, scaling) for (module, pair), scaling in each}, base.experts)
    pairs, scalings = _pairs(folder, scaled, base), [one.scaling for one in scaled.values()]
    alpha = scalings[0] * pairs[0].rank
    folded = [_folded(pair, scaling, alpha) for pair, scaling in zip(pairs, scalings, strict=True)]
    return LoraAdapter(
        path=folder,
        architecture=base.architecture,
        alpha=alpha,
        pairs=tuple(sorted(folded, key=lambda pair: pair.module)),
        base_name=config.base_name,
        in_file=False,
    )


def tensors_of(folder: Path, *, by_mlx: bool) -> dict[str, Matrix]:
    """All tensors of the folder under peft's names.

    Raises:
        UserError: there is no file of them, it is damaged, or holds more than factors.
    """
    from sway_gguf.artifacts.tensor_files import read_tensors  # the formats' readers, which a GGUF has no need of

    if by_mlx:
        path = folder / MLX_WEIGHTS
        if not os.path.lexists(path) and os.path.lexists(folder / OLD_WEIGHTS):
            raise UserError(
                f"{folder / OLD_WEIGHTS}: of a release of mlx-lm before safetensors; save it by a later one"
            )
        check_input(path, "a folder as mlx_lm.lora writes it")
        return renamed(read_tensors(path), path)
    path = next((there for name in WEIGHTS if os.path.lexists(there := folder / name)), folder / WEIGHTS[0])
    if not os.path.lexists(path) and has_mlx_weights(folder):
        raise UserError(f"{folder}: the weights are mlx-lm's, the adapter_config.json is not; put its own beside them")
    check_input(path, "a folder as peft's save_pretrained writes it")
    return read_tensors(path)


def _factors(folder: Path, tensors: Mapping[str, Matrix]) -> dict[str, tuple[Matrix, Matrix]]:
    """(A [r, d_in], B [d_out, r]) by module.

    Raises:
        UserError: a tensor is no factor, one of a pair is missing or there twice, or they do not multiply.
    """
    found: dict[str, dict[str, Matrix]] = {}
    strange = []
    for name, tensor in tensors.items():
        match = _FACTOR.match(name) or _EMBEDDING.match(name)
        if match is None:
            strange.append(name)
        elif found.setdefault(match["module"], {}).setdefault(match["side"], tensor) is not tensor:
            raise UserError(f"{folder}: {match['module']} has two factors {match['side']}; save one adapter alone")
    if strange:
        raise UserError(f"{folder}: {few(strange)}: a GGUF LoRA holds factors alone; {MERGE_FIRST}")
    alone = [module for module, pair in found.items() if len(pair) < 2]
    if alone or not found:
        raise UserError(f"{folder}: one factor is missing for {', '.join(alone[:3]) or 'every module'}; save it again")
    for module, pair in found.items():
        a, b = pair["A"].shape, pair["B"].shape
        if not 2 <= len(a) == len(b) <= 3 or a[:-2] != b[:-2] or a[-2] != b[-1] or 0 in (*a, *b):
            raise UserError(
                f"{folder}: the factors of {module} are {list(a)} and {list(b)}, where [r, in] and [out, r] are "
                "wanted; save the adapter again"
            )
    # The safetensors package gives tensors in another order each time, and the first pair's alpha is the file's.
    return {module: (found[module]["A"], found[module]["B"]) for module in sorted(found)}


def _pairs(folder: Path, factors: Mapping[str, Factors], base: BaseModel) -> list[LoraPair]:
    """The factors under llama.cpp's names, rows in its order.

    Raises:
        UserError: a module has no such name, or two have one.
    """
    names = get_tensor_name_map(architecture_of(base.architecture), base.blocks)
    pairs = []
    for module, each in factors.items():
        name = _name(folder, names, module, base)
        pairs.append(LoraPair(name, each.a, _reordered(folder, each.b, name, base), "F32", "F32"))
    name, times = Counter(pair.module for pair in pairs).most_common(1)[0]
    if times > 1:
        raise UserError(f"{folder}: {times} modules are all {name} to llama.cpp; save one adapter alone")
    return pairs


def _name(folder: Path, names: TensorNameMap, module: str, base: BaseModel) -> str:
    plain = module.replace("language_model.", "")
    found = names.get_name(f"{plain}.weight", try_suffixes=(".weight",))
    if found is None:
        if (block := _BLOCK.search(plain)) and int(block[1]) >= base.blocks:
            raise UserError(
                f"{folder} does not fit {base.path}: it adapts {module}, and the base has {base.blocks} blocks; give "
                "the base that the adapter was trained on"
            )
        raise UserError(f"{folder}: llama.cpp has no name for {module} in this architecture; {MERGE_FIRST}")
    return str(found)


def architecture_of(name: str) -> MODEL_ARCH:
    """The gguf package's key of an architecture that it knows."""
    return next(arch for arch, known in MODEL_ARCH_NAMES.items() if known == name)


def _reordered(folder: Path, b: Matrix, name: str, base: BaseModel) -> Matrix:
    """B with its rows in llama.cpp's order."""
    heads = heads_of(name, base)
    if base.architecture not in _ROTARY_PAIRS or not heads:
        return b
    if b.shape[0] % (2 * heads):
        raise UserError(f"{folder}: {name} has {b.shape[0]} rows, which are no {heads} heads; it is for another base")
    return interleaved(b, heads)


def heads_of(name: str, base: BaseModel) -> int:
    """Heads in the rows of a query or key tensor; 0 for any other."""
    return {"attn_q": base.heads, "attn_k": base.kv_heads}.get(name.removesuffix(".weight").rpartition(".")[2], 0)


def interleaved(b: Matrix, heads: int) -> Matrix:
    """Rows of B with the two halves of each head side by side. [heads · 2 · half, r] → the same shape."""
    half = b.shape[0] // heads // 2
    return np.ascontiguousarray(b.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(b.shape))


def _scalings(config: PeftConfig, ranks: Mapping[str, int]) -> list[float]:
    """s of each module: its alpha over r or √r.

    Raises:
        UserError: a rank is not the config's; peft would not load it, and which r it was scaled by is open.
    """
    for (module, rank), wanted in zip(ranks.items(), config.ranks_of(list(ranks)), strict=True):
        if wanted not in (None, rank):
            raise UserError(
                f"{config.path}: {module} has rank {rank} in the weights and {wanted} here; save both again"
            )
    alphas = config.alphas_of(list(ranks))
    roots = [math.sqrt(rank) if config.rank_stabilized else rank for rank in ranks.values()]
    return [alpha / root for alpha, root in zip(alphas, roots, strict=True)]


def _folded(pair: LoraPair, scaling: float, alpha: float) -> LoraPair:
    """The pair with what the common alpha does not say put into B."""
    factor = scaling * pair.rank / alpha
    if factor == 1.0:
        return pair
    # What grows beyond a float becomes infinite here; whoever writes or runs the adapter looks for that.
    with np.errstate(over="ignore", invalid="ignore"):
        return replace(pair, b=(pair.b * np.float32(factor)).astype(np.float32))
