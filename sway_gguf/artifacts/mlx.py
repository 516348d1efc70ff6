"""An adapter folder by mlx-lm, in the words of peft: names, order of dimensions and config translated.

mlx-lm computes y + scale·(x @ lora_a) @ lora_b with lora_a [in, r] and lora_b [r, out], so its scale is peft's
alpha / r, and both factors are peft's turned. Experts that are stacked, lora_a [experts, r, in], stand as they are.
Knows mlx-lm's files; what becomes of the factors is `peft.py`'s.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.lora import Matrix
from sway_gguf.core.errors import UserError

MLX_WEIGHTS, OLD_WEIGHTS = "adapters.safetensors", "adapters.npz"
FUSE_FIRST = "fuse it with mlx_lm.fuse --dequantize and convert the fused model"
_SIDES = {".lora_a": "lora_A.weight", ".lora_b": "lora_B.weight"}
_SAME = 1e-6


def has_mlx_weights(folder: Path) -> bool:
    """Whether an adapter by mlx-lm lies in `folder`."""
    return any(os.path.lexists(folder / name) for name in (MLX_WEIGHTS, OLD_WEIGHTS))


def is_mlx_config(config: Any) -> bool:
    """Whether an adapter_config.json is mlx-lm's: peft's names its peft_type."""
    return isinstance(config, dict) and "peft_type" not in config and bool(
        config.keys() & {"lora_parameters", "fine_tune_type"}
    )  # fmt: skip


def as_peft(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The same settings under peft's names; alpha is scale times rank.

    Raises:
        UserError: no LoRA, a value of a wrong type, or a scale that depends on the release that trained it.
    """
    kind = config.get("fine_tune_type") or "lora"
    if kind == "dora" or config.get("use_dora"):
        raise UserError(f"{path}: DoRA rescales whole weights, which a GGUF LoRA cannot say; {FUSE_FIRST}")
    if kind != "lora":
        raise UserError(f"{path}: fine_tune_type is {str(kind)[:40]!r}, these are no LoRA factors; {FUSE_FIRST}")
    asked = config.get("lora_parameters")
    if not isinstance(asked, dict):
        raise UserError(f"{path}: no lora_parameters with rank and scale, as mlx_lm.lora writes them; save it again")
    rank, scale = asked.get("rank"), _number(path, "scale", asked.get("scale"))
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise UserError(f"{path}: lora_parameters.rank is {rank!r:.40}, where a rank is wanted; save it again")
    if asked.get("alpha") is not None:
        _check_alpha(path, _number(path, "alpha", asked["alpha"]), rank, scale)
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": scale * rank,
        "target_modules": asked.get("keys"),
        "base_model_name_or_path": config.get("model"),
    }


def last_blocks(config: Mapping[str, Any], path: Path) -> int | None:
    """How many blocks were trained, counted from the last; None for all.

    Raises:
        UserError: no whole number.
    """
    count = config.get("num_layers", config.get("lora_layers"))
    if count is None or count == -1:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UserError(f"{path}: num_layers is {count!r:.40}, where a number of blocks is wanted; save it again")
    return count or None


def renamed(tensors: Mapping[str, Matrix], path: Path) -> dict[str, Matrix]:
    """The factors under peft's names, in peft's order of dimensions.

    Raises:
        UserError: a tensor is no factor, such as the scales of a quantized adapter.
    """
    strange = [name for name in tensors if not name.endswith(tuple(_SIDES))]
    if strange:
        raise UserError(
            f"{path}: {', '.join(strange[:3])}: a GGUF LoRA holds factors lora_a and lora_b alone; {FUSE_FIRST}"
        )
    found = {}
    for name, tensor in tensors.items():
        module, side = name[: -len(".lora_a")], _SIDES[name[-len(".lora_a") :]]
        turned = np.ascontiguousarray(tensor.T) if tensor.ndim == 2 else tensor
        found[f"base_model.model.{module}.{side}"] = turned
    return found


def _number(path: Path, field: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{path}: lora_parameters.{field} is {value!r:.40}, where a number is wanted; save it again")
    return number


def _check_alpha(path: Path, alpha: float, rank: int, scale: float) -> None:
    """The first releases of mlx-lm ran at scale·alpha / rank; later ones take scale alone, and leave alpha unread."""
    if math.isclose(alpha, rank, rel_tol=_SAME) or math.isclose(alpha, scale * rank, rel_tol=_SAME):
        return
    raise UserError(
        f"{path}: lora_parameters has scale {scale:g} and alpha {alpha:g}: the first releases of mlx-lm ran that at "
        f"{scale * alpha / rank:g}, later ones at {scale:g}; write the scale of your release and remove alpha"
    )
