"""The entry point by which the `sway` project (PyPI `dlm-sway`) builds our backend.

In its sway.yaml: `kind: custom`, `entry_point: sway_gguf.engine.sway_entry:SwayBackend`, `base:` the base GGUF
and `adapter:` the LoRA GGUF. Knows that project's constructor by shape and does not import it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sway_gguf.core.errors import UserError
from sway_gguf.engine.llama_backend import LlamaBackend


class _BaseSpec(Protocol):
    base: str


class SwayBackend(LlamaBackend):
    """`LlamaBackend` under the constructor that `dlm-sway` calls.

    Raises:
        UserError: no adapter was named, or a file cannot be used.
    """

    def __init__(self, base_spec: _BaseSpec, adapter_path: Path | None) -> None:
        if adapter_path is None:
            raise UserError("sway's spec names no adapter; set models.ft.adapter to the LoRA GGUF")
        super().__init__(Path(base_spec.base), adapter_path)
