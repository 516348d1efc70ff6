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

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_tensors(path: Path) -> dict[str, Matrix]:
    """All tensors by name.

    Raises:
        UserError: the file cannot be read, or holds numbers that are no floats.
    """
    if path.suffix == ".bin":
        saved = read_torch(path)
        return {str(name): np.asarray(tensor, np.float32) for name, tensor in saved.items()}
    try:
        found = deserialize(path.read_bytes())  # type: ignore[no-untyped-call,unused-ignore]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}); save the adapter again") from error
    return {name: _floats(path, name, tensor) for name, tensor in found}


def _floats(path: Path, name: str, tensor: Any) -> Matrix:
    kind, shape = tensor["dtype"], tensor["shape"]
    if kind == "BF16":
        halves: NDArray[np.uint32] = np.frombuffer(tensor["data"], "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    if kind not in _TYPES:
        raise UserError(f"{path}: {name} is of type {kind}; a float type is wanted")
    return np.frombuffer(tensor["data"], _TYPES[kind]).astype(np.float32).reshape(shape)
