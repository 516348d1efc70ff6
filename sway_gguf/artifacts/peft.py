"""A PEFT folder as a LoRA for llama.cpp: names, scaling and row order translated. Loads no torch.

What GGUF cannot say is folded in exactly (rsLoRA, alpha and rank patterns) or refused with the way out (DoRA, whole
modules, biases). Knows the families that it has been held against; any other architecture is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair, Matrix
from sway_gguf.artifacts.tensor_files import read_tensors
from sway_gguf.core.errors import UserError

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3")
_ROTARY_PAIRS = ("llama",)
"""Families whose q and k rows llama.cpp stores with the two halves of a head interleaved."""

_FACTOR = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>A|B)(\.default)?\.weight$")
_EMBEDDING = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_embedding_(?P<side>A|B)(\.default)?$")
_MERGE = "merge it with peft's merge_and_unload and convert the merged model"


def is_peft(path: Path) -> bool:
    """Whether `path` is a folder with an adapter_config.json."""
    return (path / CONFIG).is_file()


def read_peft(folder: Path, base: BaseModel) -> LoraAdapter:
    """Convert a PEFT folder for `base`.

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
    config = _config(folder)
    tensors = read_tensors(next((p for name in WEIGHTS if (p := folder / name).is_file()), folder / WEIGHTS[0]))
    factors = _factors(folder, tensors)
    names = gguf.get_tensor_name_map(_architecture(base.architecture), base.blocks)
    pairs, scalings = [], []
    for module, (a, b) in factors.items():
        name = _name(folder, names, module)
        rows = _reordered(b, name, base)
        pairs.append(LoraPair(name, a, rows, "F32", "F32"))
        scalings.append(_scaling(config, module, int(b.shape[-1])))
    alpha = scalings[0] * pairs[0].rank
    folded = [_folded(pair, scaling, alpha) for pair, scaling in zip(pairs, scalings, strict=True)]
    return LoraAdapter(
        path=folder,
        architecture=base.architecture,
        alpha=alpha,
        pairs=tuple(sorted(folded, key=lambda pair: pair.module)),
        base_name=str(config.get("base_model_name_or_path") or ""),
        in_file=False,
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); give a PEFT folder") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); save the adapter again") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise UserError(f"{path}: peft_type is {kind!r}; only LORA can be run")
    if config.get("use_dora"):
        raise UserError(f"{path}: DoRA rescales whole weights, which a GGUF LoRA cannot say; {_MERGE}")
    if config.get("modules_to_save"):
        whole = ", ".join(config["modules_to_save"])
        raise UserError(f"{path}: modules_to_save ({whole}) are whole weights, no LoRA; {_MERGE}")
    if config.get("fan_in_fan_out"):
        raise UserError(f"{path}: fan_in_fan_out turns the factors, which no family here uses; {_MERGE}")
    return config


def _factors(folder: Path, tensors: Mapping[str, Matrix]) -> dict[str, tuple[Matrix, Matrix]]:
    """(A [r, d_in], B [d_out, r]) by module.

    Raises:
        UserError: a tensor is no factor, or one of a pair is missing; all of them are named.
    """
    found: dict[str, dict[str, Matrix]] = {}
    strange = []
    for name, tensor in tensors.items():
        match = _FACTOR.match(name) or _EMBEDDING.match(name)
        if match:
            found.setdefault(match["module"], {})[match["side"]] = tensor
        else:
            strange.append(name)
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise UserError(f"{folder}: {', '.join(strange[:3])}{more}: a GGUF LoRA holds factors alone; {_MERGE}")
    alone = [module for module, pair in found.items() if len(pair) < 2]
    if alone or not found:
        raise UserError(f"{folder}: one factor is missing for {', '.join(alone[:3]) or 'every module'}; save it again")
    return {module: (pair["A"], pair["B"]) for module, pair in found.items()}


def _name(folder: Path, names: gguf.TensorNameMap, module: str) -> str:
    plain = module.replace("language_model.", "")
    found = names.get_name(f"{plain}.weight", try_suffixes=(".weight",))
    if found is None:
        raise UserError(f"{folder}: llama.cpp has no name for {module} in this architecture; {_MERGE}")
    return str(found)


def _architecture(name: str) -> gguf.MODEL_ARCH:
    return next(arch for arch, known in gguf.MODEL_ARCH_NAMES.items() if known == name)


def _reordered(b: Matrix, name: str, base: BaseModel) -> Matrix:
    """B with its rows in llama.cpp's order."""
    heads = {"attn_q": base.heads, "attn_k": base.kv_heads}.get(name.split(".")[-2], 0)
    if base.architecture not in _ROTARY_PAIRS or not heads:
        return b
    return interleaved(b, heads)


def interleaved(b: Matrix, heads: int) -> Matrix:
    """Rows of B with the two halves of each head side by side. [heads · 2 · half, r] → the same shape."""
    half = b.shape[0] // heads // 2
    return np.ascontiguousarray(b.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(b.shape))


def _scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """s of one module: its own alpha where a pattern names it, over r or √r."""
    alpha = float(_patterned(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", rank)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _patterned(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that matches the module's end, as peft looks it up."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _folded(pair: LoraPair, scaling: float, alpha: float) -> LoraPair:
    """The pair with what the common alpha does not say put into B."""
    factor = scaling * pair.rank / alpha
    if factor == 1.0:
        return pair
    return LoraPair(pair.module, pair.a, (pair.b * np.float32(factor)).astype(np.float32), pair.a_type, pair.b_type)
