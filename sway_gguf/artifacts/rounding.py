"""An adapter too small to matter: what a model does under it is rounding. Knows a base's header, no engine.

A change of one unit in the last place of a float is enough to round a key, or an activation of a quantized
product, the other way; from there on every number of the model differs by as much as its rounding allows, however
small the change was. That is the noise in any comparison of a base with its adapter, so it is measured in this way.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, LoraPair

VERSION = 1
"""Raised by whoever changes what is drawn: answers of the base's rerun are kept under it."""
NEGLIGIBLE = 2.0**-20
"""The update's output beside that of a weight of unit gain: eight units in the last place of a float32."""

_MODULES = (".attn_output.weight", ".ffn_down.weight")
"""What writes to the residual stream: noise from there reaches all later modules."""


def rounding_adapter(base: BaseModel) -> LoraAdapter | None:
    """A random rank-1 update of `NEGLIGIBLE` size in every block; None for a base without such modules.

    It depends on the base's shapes alone.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    pairs = []
    for module in sorted(name for name in base.tensors if name.startswith("blk.") and name.endswith(_MODULES)):
        shape = base.tensors[module].shape
        if len(shape) == 2:
            a = rng.normal(size=(1, shape[1])) / math.sqrt(shape[1])
            b = rng.normal(size=(shape[0], 1)) * NEGLIGIBLE
            pairs.append(LoraPair(module, a.astype(np.float32), b.astype(np.float32), "F32", "F32"))
    if not pairs:
        return None
    return LoraAdapter(Path("rounding.gguf"), base.architecture, 1.0, tuple(pairs), in_file=False)
