"""An adapter_config.json, read under the types and defaults of peft's LoraConfig; mlx-lm's is put in its words first.

A field that changes what the factors mean is taken over, or refused by name with the way out. Knows the config; not the
weights beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sway_gguf.artifacts.mlx import as_peft, is_mlx_config, last_blocks
from sway_gguf.artifacts.patterns import first_matches
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_utf8
from sway_gguf.core.json_text import parse_json

Value = TypeVar("Value", float, int)
CONFIG = "adapter_config.json"
MERGE_FIRST = "merge it with peft's merge_and_unload and convert the merged model"
_MOST_BYTES = 16 << 20
_DEFAULT_ALPHA = 8.0
_GIST = 60
"""Characters of a wrong value that are shown."""

_BEYOND_LORA = {
    "use_dora": "DoRA rescales whole weights, which a GGUF LoRA cannot say",
    "modules_to_save": "these are whole weights, no LoRA",
    "trainable_token_indices": "these are whole rows of the embedding, no LoRA",
    "fan_in_fan_out": "that turns the factors, which no family here uses",
    "use_qalora": "QALoRA pools the inputs of A, which a GGUF LoRA cannot say",
    "use_bdlora": "BD-LoRA stores blocks of the factors, which a GGUF LoRA cannot say",
    "kasa_config": "KaSA puts a diagonal between the factors, which a GGUF LoRA cannot say",
    "arrow_config": "Arrow routes between adapters, which a GGUF LoRA cannot say",
    "layer_replication": "that makes a model of other blocks than the base's",
    "alora_invocation_tokens": "an activated LoRA works after its invocation tokens alone, which is not run here",
}
"""Fields of LoraConfig that change more than the factors of linear layers say, wherever they are set."""

_CHANGE_THE_BASE = {"pissa": "PiSSA", "olora": "OLoRA", "loftq": "LoftQ", "corda": "CorDA", "lora_ga": "LoRA-GA"}
"""Beginnings of init_lora_weights under which peft changes the base's own weights before training."""


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """What the conversion needs of a config.

    Attributes:
        path: the file.
        alpha: lora_alpha; 8 where the config does not say, as in peft.
        alphas: alpha_pattern: a regular expression for the end of a module's name, and the alpha there.
        rank: r; None where the config does not say.
        ranks: rank_pattern, likewise.
        rank_stabilized: whether the scaling is alpha / √r, not alpha / r.
        base_name: the base that it was trained on, or "".
        targets: target_modules: endings of module names, or one regular expression; None where the config is silent.
        left_out: exclude_modules, likewise.
        blocks: layers_to_transform; None for all.
        last_blocks: how many were trained, counted from the last; None for all.
        by_mlx: whether mlx-lm wrote it.
    """

    path: Path
    alpha: float
    alphas: Mapping[str, float]
    rank: int | None
    ranks: Mapping[str, int]
    rank_stabilized: bool
    base_name: str
    targets: tuple[str, ...] | str | None
    left_out: tuple[str, ...] | str | None
    blocks: tuple[int, ...] | None
    last_blocks: int | None = None
    by_mlx: bool = False

    def blocks_of(self, count: int) -> list[int]:
        """Numbers of the blocks that were trained, of a model that has `count`."""
        first = max(0, count - self.last_blocks) if self.last_blocks else 0
        return [block for block in range(first, count) if self.blocks is None or block in self.blocks]

    def alphas_of(self, modules: list[str]) -> list[float]:
        """The alpha of each module: that of the first pattern that matches the end of its name, else the common one.

        Raises:
            UserError: a pattern is broken or takes too long.
        """
        return self._looked_up("alpha_pattern", self.alphas, modules, self.alpha)

    def ranks_of(self, modules: list[str]) -> list[int | None]:
        """The rank of each module, looked up in the same way; None where the config does not say.

        Raises:
            UserError: a pattern is broken or takes too long.
        """
        return self._looked_up("rank_pattern", self.ranks, modules, self.rank)

    def _looked_up(
        self, field: str, values: Mapping[str, Value], modules: list[str], common: Value | None
    ) -> list[Any]:
        patterns = list(values)
        places = first_matches(patterns, modules, "end", f"{self.path}: {field}")
        return [common if place is None else values[patterns[place]] for place in places]


def read_config(folder: Path) -> PeftConfig:
    """Read and check a folder's config.

    Raises:
        UserError: it cannot be read, is no LoRA, has a value of a wrong type, or says what GGUF cannot.
    """
    path = folder / CONFIG
    text = read_utf8(path, "a folder as peft's save_pretrained writes it", _MOST_BYTES)
    config = parse_json(text, str(path), "save the adapter again")
    by_mlx, last = is_mlx_config(config), None
    if by_mlx:
        last, config = last_blocks(config, path), as_peft(config, path)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise UserError(f"{path}: peft_type is {_gist(kind)}; only LORA can be run")
    for field, meaning in _BEYOND_LORA.items():
        if config.get(field):
            raise UserError(f"{path}: {field} is {_gist(config[field])}: {meaning}; {MERGE_FIRST}")
    _check_start(path, config.get("init_lora_weights"))
    return PeftConfig(
        path=path,
        alpha=_alpha(path, "lora_alpha", config.get("lora_alpha", _DEFAULT_ALPHA)),
        alphas=_pattern(path, "alpha_pattern", config.get("alpha_pattern"), _alpha),
        rank=None if config.get("r") is None else _rank(path, "r", config["r"]),
        ranks=_pattern(path, "rank_pattern", config.get("rank_pattern"), _rank),
        rank_stabilized=_flag(path, "use_rslora", config.get("use_rslora")),
        base_name=_text(path, "base_model_name_or_path", config.get("base_model_name_or_path")),
        targets=_names(path, "target_modules", config.get("target_modules")),
        left_out=_names(path, "exclude_modules", config.get("exclude_modules")),
        blocks=_blocks(path, config.get("layers_to_transform")),
        last_blocks=last,
        by_mlx=by_mlx,
    )


def _check_start(path: Path, start: Any) -> None:
    """Conversion by peft sets init_lora_weights back to true, so what is converted already passes."""
    if not isinstance(start, str):
        return
    name = next((name for prefix, name in _CHANGE_THE_BASE.items() if start.lower().startswith(prefix)), None)
    if name is None:
        return
    way = (
        "merge it with merge_and_unload on the base that LoftQ left, and convert the merged model"
        if name == "LoftQ"
        else "turn them into a plain LoRA by peft's save_pretrained(…, path_initial_model_for_weight_conversion=…)"
    )
    raise UserError(
        f"{path}: init_lora_weights is {_gist(start)}: {name} changed the base's own weights before training, so the "
        f"factors belong to another base; {way}. If the GGUF was made from that changed base, write true instead"
    )


def _alpha(path: Path, field: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UserError(f"{path}: {field} is {_gist(value)}, where a number is wanted; save the adapter again")
    try:
        alpha = float(value)
    except OverflowError:
        alpha = math.inf
    if not math.isfinite(alpha) or alpha == 0:
        raise UserError(f"{path}: {field} is {_gist(value)}, which makes no adapter; give the alpha of the training")
    return alpha


def _rank(path: Path, field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{path}: {field} is {_gist(value)}, where a rank is wanted; save the adapter again")
    return value


def _pattern(path: Path, field: str, value: Any, read: Callable[[Path, str, Any], Value]) -> dict[str, Value]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: {field} is {_gist(value)}, where names with numbers are wanted; save it again")
    return {pattern: read(path, f"{field}[{_gist(pattern)}]", number) for pattern, number in value.items()}


def _flag(path: Path, field: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise UserError(f"{path}: {field} is {_gist(value)}; write true or false")
    return bool(value)


def _text(path: Path, field: str, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: {field} is {_gist(value)}, where a text is wanted; save the adapter again")
    return value or ""


def _names(path: Path, field: str, value: Any) -> tuple[str, ...] | str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{path}: {field} is {_gist(value)}, where names of modules are wanted; save the adapter again")
    return tuple(value)


def _blocks(path: Path, value: Any) -> tuple[int, ...] | None:
    if value is None or (isinstance(value, list) and not value):
        return None
    blocks = value if isinstance(value, list) else [value]
    if not all(isinstance(block, int) and not isinstance(block, bool) for block in blocks):
        raise UserError(
            f"{path}: layers_to_transform is {_gist(value)}, where numbers of blocks are wanted; save it again"
        )
    return tuple(blocks)


def _gist(value: Any) -> str:
    shown = repr(value) if not isinstance(value, (dict, list)) else json.dumps(value)
    return shown if len(shown) <= _GIST else shown[:_GIST] + "…"
