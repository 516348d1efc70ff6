"""An adapter from whatever the user gave: a LoRA GGUF, a folder by peft or mlx-lm, or what a trainer left.

Knows which reader it takes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, fits, read_lora
from sway_gguf.artifacts.peft import read_peft
from sway_gguf.artifacts.training_folder import Found, adapter_in, has_adapter
from sway_gguf.core.errors import UserError


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder that holds an adapter, or checkpoints with one."""
    return has_adapter(adapter_in(path).folder)


def read_folder(path: Path, base: BaseModel) -> LoraAdapter:
    """Convert the adapter of a folder for `base`; of several the one that `adapter_in` takes.

    Raises:
        UserError: it cannot be used.
    """
    return _converted(adapter_in(path), base)


def read_adapter(path: Path, base: BaseModel) -> LoraAdapter:
    """Read or convert an adapter that fits `base`.

    Raises:
        UserError: it cannot be used, or does not fit.
    """
    found = adapter_in(path)
    if path.is_dir() and not has_adapter(found.folder):
        raise UserError(f"{path}: no adapter_config.json in it; give a LoRA GGUF, or a folder by PEFT or a trainer")
    adapter = _converted(found, base) if has_adapter(found.folder) else read_lora(path)
    fits(adapter, base)
    return adapter


def _converted(found: Found, base: BaseModel) -> LoraAdapter:
    return replace(read_peft(found.folder, base), said=found.said)
