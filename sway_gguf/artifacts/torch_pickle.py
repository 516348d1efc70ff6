"""Reads the tensors of a file written by torch.save, without torch and without running what the file says.

The unpickler can build containers, numbers and tensors; any other name in the pickle is refused. Knows the zip
layout that torch has written since 1.6, not what the tensors mean.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.errors import UserError

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _StorageType(NamedTuple):
    name: str


class _Storage(NamedTuple):
    data: NDArray[Any]
    brain: bool


def read_torch(path: Path) -> Any:
    """What torch.save wrote, with tensors as arrays.

    Raises:
        UserError: not such a file, damaged, or its pickle wants anything but tensors and containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            root = next((name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")), None)
            if root is None:
                raise UserError(f"{path}: no data.pkl inside; give a file written by torch.save")
            if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
                raise UserError(f"{path}: written on a big-endian machine, which is not read here")
            with archive.open(f"{root}data.pkl") as file:
                return _TensorUnpickler(file, archive, root, path).load()
    except zipfile.BadZipFile:
        raise UserError(f"{path}: not a zip file as torch.save writes it; save the checkpoint again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except (pickle.UnpicklingError, KeyError, EOFError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())[:120]}); save the checkpoint again") from error


class _TensorUnpickler(pickle.Unpickler):
    """Builds nothing but containers and arrays."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str, path: Path) -> None:
        super().__init__(file)
        self._archive, self._root, self._path = archive, root, path
        self._known: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The few names that tensors need.

        Raises:
            UserError: any other.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in _STORAGES:
            return _StorageType(name)
        raise UserError(f"{self._path}: its pickle asks for {module}.{name}, which no tensor needs; refused")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage by its key."""
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise UserError(f"{self._path}: its pickle refers to {kind!r}, which is no storage; refused")
        if key not in self._known:
            raw = self._archive.read(f"{self._root}data/{key}")
            data = np.frombuffer(raw, _STORAGES[storage.name])
            if data.size < count:
                raise ValueError(f"storage {key} holds {data.size} of {count} numbers")
            self._known[key] = _Storage(data, storage.name == "BFloat16Storage")
        return self._known[key]


def _rebuilt(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> NDArray[Any]:
    """A tensor as a copy of its part of the storage; its bounds are checked."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    empty = 0 in size
    if offset < 0 or any(step < 0 for step in stride) or (not empty and last >= storage.data.size):
        raise ValueError("a tensor reaches beyond its storage")
    if empty:
        return np.zeros(size, np.float32)
    strides = tuple(step * storage.data.itemsize for step in stride)
    view: NDArray[Any] = np.lib.stride_tricks.as_strided(storage.data[offset:], size, strides).copy()
    return (view.astype(np.uint32) << 16).view(np.float32) if storage.brain else view
