"""What peft calls the modules of a llama, and how it has the rows of queries and keys. Knows names and shapes only."""

from __future__ import annotations

import numpy as np

from sway_gguf.artifacts.lora import Matrix

MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Modules of a block by their names in a GGUF."""


def halves_apart(b: Matrix, heads: int) -> Matrix:
    """Rows of B with the first halves of a head before its second ones, which `interleaved` turns back. [rows, r]."""
    half = b.shape[0] // heads // 2
    return np.ascontiguousarray(b.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(b.shape))
