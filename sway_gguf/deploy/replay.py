"""Replays a merge: every tensor of a merged file against the base's with the adapter's update, whatever type it has.

Of tensors of floats every number is compared. Of a quantized one, which takes long to make again, rows from all over
it are. Knows files and types; `artifacts/replay.py` compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.lora import LoraAdapter, Matrix, check_finite
from sway_gguf.artifacts.merge import PLAIN, check_readable, update
from sway_gguf.artifacts.replay import Store, grain, replayed
from sway_gguf.artifacts.shards import open_shards
from sway_gguf.core.errors import UserError
from sway_gguf.core.replay import Replay, TensorReplay
from sway_gguf.engine.grid import on_grid

Advance = Callable[[str, int], None]
_MOST = 1 << 20
"""Numbers of a quantized tensor that are compared."""


def replay(
    merged: BaseModel, base: BaseModel, adapter: LoraAdapter, advance: Advance = lambda name, done: None
) -> Replay:
    """Hold every tensor of `merged` against base + update.

    Args:
        merged: the file that ships.
        base: what it was merged into, of any type.
        adapter: what was merged in; it fits `base`.
        advance: told the name of each tensor when it is done, and 1.

    Raises:
        UserError: another architecture, an adapter with NaN or infinity, or weights that cannot be read as floats.
        EngineError: this build of llama.cpp cannot quantize one tensor alone.
    """
    if merged.architecture != base.architecture:
        raise UserError(
            f"{merged.path}: of architecture {merged.architecture!r}, the base is {base.architecture!r}; give the base "
            "that it was merged from"
        )
    check_finite(adapter, "there is nothing to hold the merged file against")
    for model in (merged, base):
        check_readable(model)
    ours, theirs = (_owners(model.path) for model in (base, merged))
    pairs = {pair.module: pair for pair in adapter.pairs}
    both = [name for name in base.tensors if name in merged.tensors]
    reshaped = [name for name in both if base.tensors[name].shape != merged.tensors[name].shape]
    found = []
    for name in both:
        if name not in reshaped:
            pair = pairs.get(name)
            updates = (lambda scale, pair=pair: update(adapter, pair, scale)) if pair is not None else None
            found.append(_tensor(name, ours[name], theirs[name], updates))
        advance(name, 1)
    return Replay(
        base=str(base.path),
        adapter=str(adapter.path),
        tensors=tuple(found),
        missing=tuple(name for name in base.tensors if name not in merged.tensors),
        extra=tuple(name for name in merged.tensors if name not in base.tensors),
        reshaped=tuple(reshaped),
    )


def _owners(path: Path) -> dict[str, GGUFFile]:
    return {name: shard for shard in open_shards(path) for name in shard.tensors}


def _tensor(name: str, base: GGUFFile, merged: GGUFFile, updates: Callable[[float], Matrix] | None) -> TensorReplay:
    info = merged.tensors[name]
    width = info.shape[-1] if info.shape else 1
    rows = math.prod(info.shape[:-1])
    floats = info.type in PLAIN
    which = slice(None) if floats else slice(0, None, max(1, rows * width // _MOST))
    ours, theirs = base.rows(name, which), merged.rows(name, which)
    chosen = (lambda scale: updates(scale).reshape(rows, width)[which]) if updates is not None else None
    store = _float_store(theirs, info.type) if floats else _as_quantized(info.type)
    return replayed(name, info.type, ours, theirs, chosen, store, _as_stored(base.tensors[name].type))


def _float_store(merged: Matrix, kind: str) -> Store:
    coarse = grain(merged, kind)
    return lambda numbers: on_grid(numbers, coarse)


def _as_quantized(kind: str) -> Store:
    """By way of F16, as `merge` and llama.cpp's own tools do it."""
    return lambda numbers: on_grid(on_grid(numbers, "F16"), kind)


def _as_stored(kind: str) -> Store:
    return (lambda numbers: numbers) if kind == "F32" else (lambda numbers: on_grid(numbers, kind))
