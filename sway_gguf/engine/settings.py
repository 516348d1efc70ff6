"""How the engine runs. Knows llama.cpp's own flag names; holds values only."""

from __future__ import annotations

import os
from dataclasses import dataclass

_DEFAULT_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Settings of the llama.cpp backend.

    Attributes:
        threads: -t; 0 takes half of the logical processors where there are more than four, else all.
        context: -c, the longest text evaluated in one piece, tokens; 0 takes 2048 or what the model was
            trained on, whichever is less. Longer texts are scored in windows.
        batch: -b, tokens per call.
        ubatch: -ub, tokens per step within a call.
        gpu_layers: -ngl; layers on the GPU, -1 for all.
        kv_type: type of the KV cache: f32, f16, bf16 or q8_0.
        flash_attention: -fa.
        streams: most texts evaluated side by side.
    """

    threads: int = 0
    context: int = 0
    batch: int = 2048
    ubatch: int = 512
    gpu_layers: int = 0
    kv_type: str = "f16"
    flash_attention: bool = False
    streams: int = 32

    def thread_count(self) -> int:
        """Threads to use on this machine."""
        logical = os.cpu_count() or 1
        return self.threads or (logical // 2 if logical > 4 else logical)

    def width(self, trained: int) -> int:
        """Tokens evaluated in one piece by a model trained on `trained`."""
        trained = trained or _DEFAULT_CONTEXT
        return min(self.context or _DEFAULT_CONTEXT, trained)
