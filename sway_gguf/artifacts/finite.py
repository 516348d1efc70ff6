"""Which tensor of which file holds a number that is not finite, once a model has given one. Runs no engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.grid import FLOATS
from sway_gguf.artifacts.stack import Adapted, as_stack
from sway_gguf.core.listing import few


def not_finite(base: BaseModel, adapter: Adapted, view: str) -> str:
    """The tensors that hold NaN or infinity, as half a sentence; "" where the files show none.

    Args:
        base: scanned where it alone gave the number; its quantized tensors are left out.
        adapter: scanned otherwise, or each of a set.
        view: label of the view that gave the number.
    """
    if view.startswith("base"):
        return _sentence("base", list(_bad_tensors(base)))
    each = {one.path: one for one in as_stack(adapter).adapters}
    named = [
        _sentence(f"adapter {path}" if len(each) > 1 else "adapter", [p.module for p in one.pairs if not p.finite])
        for path, one in each.items()
    ]
    return "; ".join(filter(None, named))


def _sentence(whose: str, names: list[str]) -> str:
    return f"the {whose}'s {few(names)} holds NaN or infinity" if names else ""


def _bad_tensors(base: BaseModel) -> Iterator[str]:
    for path in base.shards or (base.path,):
        file = GGUFFile(path)
        for name, tensor in file.tensors.items():
            if tensor.type in FLOATS and not np.isfinite(file.read(name)).all():
                yield name
