"""Tensors of a safetensors file or of a pickle by torch, as float32. Knows file formats, not what a tensor is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from sway_gguf.artifacts.lora import Matrix
from sway_gguf.artifacts.torch_pickle import read_torch
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import read_bytes

_MOST = 64 << 30
"""Bytes of a file of tensors: beyond any adapter, within what a disk may hold of zeros."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_tensors(path: Path) -> dict[str, Matrix]:
    """All tensors by name.

    Raises:
        UserError: the file cannot be read, or holds numbers that are no floats.
    """
    if path.suffix == ".bin":
        saved = read_torch(path)
        if not isinstance(saved, dict) or not all(_is_floats(tensor) for tensor in saved.values()):
            raise UserError(f"{path}: holds something else than tensors of floats by name; save the adapter again")
        with np.errstate(over="ignore"):
            return {str(name): tensor.astype(np.float32) for name, tensor in saved.items()}
    try:
        data = read_bytes(path, "adapter_model.safetensors", _MOST)
        found = deserialize(data)  # type: ignore[no-untyped-call,unused-ignore]
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}); save the adapter again") from error
    return {name: _floats(path, name, tensor) for name, tensor in found}


def _is_floats(tensor: Any) -> bool:
    return isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f"


def _floats(path: Path, name: str, tensor: Any) -> Matrix:
    kind, shape = tensor["dtype"], tensor["shape"]
    if kind == "BF16":
        halves: NDArray[np.uint32] = np.frombuffer(tensor["data"], "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    if kind not in _TYPES:
        raise UserError(f"{path}: {name} is of type {kind}; a float type is wanted")
    # A float64 beyond float32 becomes infinite; whoever runs or writes the adapter looks for that.
    with np.errstate(over="ignore"):
        return np.frombuffer(tensor["data"], _TYPES[kind]).astype(np.float32).reshape(shape)
