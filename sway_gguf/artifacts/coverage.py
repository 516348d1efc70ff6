"""Which share of the modules that were to be trained stands in an adapter, by family, and which are missing.

The modules are those of a PEFT config's target_modules, else all linear layers of the base. Knows names; not weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gguf.tensor_mapping import get_tensor_name_map

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.patterns import first_matches
from sway_gguf.artifacts.peft import FAMILIES, architecture_of
from sway_gguf.artifacts.peft_config import PeftConfig

_FAMILIES = (
    ("vision", re.compile(r"^(v|mm|a)\.")),
    ("embeddings", re.compile(r"(^|_)token_embd|^position_embd|^token_types")),
    ("lm_head", re.compile(r"^output\.weight$")),
    ("experts", re.compile(r"^blk\.\d+\.ffn_(.*_(exps|shexp)|gate_inp)")),
    ("attention", re.compile(r"^blk\.\d+\.attn_")),
    ("MLP", re.compile(r"^blk\.\d+\.ffn_")),
)
_OTHER = "other"
_ORDER = ("attention", "MLP", "experts", "embeddings", "lm_head", "vision", _OTHER)
_ALL_LINEAR = "all-linear"
_PREFIXES = ("model.layers.", "model.language_model.layers.", "language_model.model.layers.")
_IN_BLOCKS = (
    *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "o", "qkv")),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down", "gate_up")),
)
_OF_EXPERTS = {
    "mlp.gate": "mlp.gate",
    **{f"mlp.experts.0.{name}_proj": f"mlp.experts.{name}_proj" for name in ("gate", "up", "down")},
    "block_sparse_moe.gate": "block_sparse_moe.gate",
    **{f"block_sparse_moe.experts.0.{name}": f"block_sparse_moe.experts.{name}" for name in ("w1", "w2", "w3")},
}
"""Modules of experts as a config names them, of which one stands for all, and by the name of their stack."""
_OUTSIDE = ("model.embed_tokens", "lm_head")
"""Linear and embedding modules by the names of transformers, in the families that PEFT folders are read for."""


@dataclass(frozen=True, slots=True)
class Share:
    """Of one family of modules.

    Attributes:
        family: attention, MLP, experts, embeddings, lm_head, vision or other.
        trained: modules that were to be trained, by llama.cpp's names.
        missing: those of them that are not in the adapter.
    """

    family: str
    trained: tuple[str, ...]
    missing: tuple[str, ...]


def shares(adapter: LoraAdapter, base: BaseModel, config: PeftConfig | None = None) -> tuple[Share, ...]:
    """The share in `adapter` of what `config` names as trained on `base`, or of all linear layers without a config.

    Raises:
        UserError: a pattern of the config is broken or takes too long.
    """
    wanted = targets(config, base) if config is not None else linear_modules(base)
    present = {pair.module for pair in adapter.pairs}
    found: dict[str, list[str]] = {}
    for module in wanted:
        found.setdefault(family_of(module), []).append(module)
    return tuple(
        Share(family, tuple(found[family]), tuple(module for module in found[family] if module not in present))
        for family in _ORDER
        if family in found
    )


def family_of(module: str) -> str:
    """The family of a module by llama.cpp's name."""
    return next((family for family, pattern in _FAMILIES if pattern.search(module)), _OTHER)


def linear_modules(base: BaseModel) -> list[str]:
    """Weight matrices that a LoRA can adapt, in the order of the file."""
    return [
        name
        for name, tensor in base.tensors.items()
        if name.endswith(".weight") and len(tensor.shape) > 1 and "norm" not in name
    ]


def targets(config: PeftConfig, base: BaseModel) -> list[str]:
    """Modules of `base` that target_modules, exclude_modules and layers_to_transform name, as peft matches them.

    Empty where the config names none, or the base is of a family whose names are not known.

    Raises:
        UserError: a pattern is broken or takes too long.
    """
    if config.targets is None or base.architecture not in FAMILIES:
        return []
    spelled = list(_spelled(base, config))
    names = [name for name, _ in spelled]
    wanted = _named(config.targets, names, f"{config.path}: target_modules")
    unwanted = _named(config.left_out or (), names, f"{config.path}: exclude_modules")
    left_out = {module for name, module in spelled if name in unwanted}
    return list(dict.fromkeys(module for name, module in spelled if name in wanted and module not in left_out))


def _spelled(base: BaseModel, config: PeftConfig) -> Iterator[tuple[str, str]]:
    """(name by transformers, name by llama.cpp) of every module in the base, under each prefix that is in use."""
    names = get_tensor_name_map(architecture_of(base.architecture), base.blocks)
    for number in config.blocks_of(base.blocks):
        for part, stack in (dict(zip(_IN_BLOCKS, _IN_BLOCKS, strict=True)) | _OF_EXPERTS).items():
            module = names.get_name(f"model.layers.{number}.{stack}.weight", try_suffixes=(".weight",))
            if module in base.tensors:
                yield from ((f"{prefix}{number}.{part}", str(module)) for prefix in _PREFIXES)
    for name in _OUTSIDE if config.blocks is None else ():
        module = names.get_name(f"{name}.weight", try_suffixes=(".weight",))
        if module in base.tensors:
            yield name, str(module)


def _named(asked: tuple[str, ...] | str, names: list[str], where: str) -> set[str]:
    if asked == _ALL_LINEAR:
        return set(names) - set(_OUTSIDE)
    if isinstance(asked, str):
        places = first_matches([asked], names, "whole", where)
        return {name for name, place in zip(names, places, strict=True) if place is not None}
    return {name for name in names if any(f".{name}".endswith(f".{end}") for end in asked)}
