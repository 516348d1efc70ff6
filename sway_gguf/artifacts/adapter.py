"""An adapter from whatever the user gave: a LoRA GGUF, or a PEFT folder. Knows which reader it takes."""

from __future__ import annotations

from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, fits, read_lora
from sway_gguf.artifacts.peft import is_peft, read_peft


def read_adapter(path: Path, base: BaseModel) -> LoraAdapter:
    """Read or convert an adapter that fits `base`.

    Raises:
        UserError: it cannot be used, or does not fit.
    """
    adapter = read_peft(path, base) if is_peft(path) else read_lora(path)
    fits(adapter, base)
    return adapter
