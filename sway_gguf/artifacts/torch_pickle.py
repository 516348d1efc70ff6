"""Reads the tensors of a file written by torch.save, without torch and without running what the file says.

A pickle may ask for containers, numbers and tensors; any other name is refused, and so is a file that unpacks to more
than its own size. Knows the zip layout that torch has written since 1.6, not what the tensors mean.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sway_gguf.artifacts.plain_pickle import PickleError, load_plain
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, unreadable

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
_MOST_PICKLE = 64 << 20
_MOST_USES = 4
"""Times that all tensors together may hold each byte of the file: tied ones share a storage."""
_ENCRYPTED = 0x1


class _StorageType(NamedTuple):
    name: str


class _Storage(NamedTuple):
    """Numbers in a row; those of bfloat16 as float32."""

    data: NDArray[Any]


def read_torch(path: Path) -> Any:
    """What torch.save wrote, with tensors as arrays that cannot be written to and ordered mappings as plain ones.

    Raises:
        UserError: not such a file, damaged, its pickle wants anything but tensors and containers, or it is packed.
    """
    size = check_input(path, "a file written by torch.save")
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(path, archive, size).load()
    except zipfile.BadZipFile:
        raise UserError(f"{path}: not a zip file as torch.save writes it; save the checkpoint again") from None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RuntimeError, EOFError, ArithmeticError, struct.error) as error:
        # What zipfile raises for headers that contradict each other, and the pickle's own errors.
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())[:120]}); save the checkpoint again") from error


class _Archive:
    """The zip file of a checkpoint: a pickle, and the storages that it names.

    Raises:
        UserError: no pickle in it, big-endian, or packed.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self._path, self._archive, self._left = path, archive, size * _MOST_USES
        self._known: dict[str, _Storage] = {}
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & _ENCRYPTED for e in self._entries.values()):
            raise UserError(f"{path}: packed or encrypted, as torch.save writes none; save the checkpoint again")
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise UserError(f"{path}: says that it holds more than its own {size:,} bytes; save the checkpoint again")
        roots = (name.removesuffix("data.pkl") for name in self._entries if name.endswith("/data.pkl"))
        self._root = next(roots, "")
        if not self._root:
            raise UserError(f"{path}: no data.pkl inside; give a file written by torch.save")
        if f"{self._root}byteorder" in self._entries and self._read("byteorder") != b"little":
            raise UserError(f"{path}: written on a big-endian machine, which is not read here")

    def load(self) -> Any:
        """The pickled object."""
        if self._entries[f"{self._root}data.pkl"].file_size > _MOST_PICKLE:
            raise PickleError(f"a pickle of more than {_MOST_PICKLE:,} bytes")
        return load_plain(self._read("data.pkl"), self._named, self._storage)

    def _read(self, name: str) -> bytes:
        return self._archive.read(self._entries[self._root + name])

    def _named(self, module: str, name: str) -> Any:
        """The few names that tensors need.

        Raises:
            UserError: any other.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return _ordered
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuilt
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _parameter
        if module == "torch" and name in _STORAGES:
            return _STORAGE_TYPES[name]
        raise UserError(f"{self._path}: its pickle asks for {module}.{name}, which no tensor needs; refused")

    def _storage(self, pid: Any) -> _Storage:
        """A storage by its key."""
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise UserError(f"{self._path}: its pickle refers to {str(kind)[:40]!r}, which is no storage; refused")
        if not isinstance(key, str) or not isinstance(count, int):
            raise PickleError("a storage without a key or a length")
        if key not in self._known:
            data: NDArray[Any] = np.frombuffer(self._read(f"data/{key}"), _STORAGES[storage.name])
            if storage.name == "BFloat16Storage":
                data = (data.astype(np.uint32) << 16).view(np.float32)
            self._known[key] = _Storage(data)
        found = self._known[key]
        if found.data.size < count:
            raise PickleError(f"storage {key} holds {found.data.size} of {count} numbers")
        return found

    def _rebuilt(self, storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> NDArray[Any]:
        """A tensor as a view of its storage, within its bounds and no larger than it."""
        if not isinstance(storage, _Storage) or not _are_counts(offset, size, stride) or len(size) != len(stride):
            raise PickleError("a tensor without storage, place or shape")
        if 0 in size:
            return np.zeros(size, np.float32)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= storage.data.size:
            raise PickleError("a tensor reaches beyond its storage")
        count = math.prod(size)
        self._left -= count
        if count > storage.data.size or self._left < 0:
            raise PickleError("tensors that hold more numbers than the file")
        strides = tuple(step * storage.data.itemsize for step in stride)
        return np.lib.stride_tricks.as_strided(storage.data[offset:], size, strides, writeable=False)


def _are_counts(offset: Any, *shapes: Any) -> bool:
    lists = all(isinstance(shape, tuple) for shape in shapes)
    return lists and all(type(n) is int and n >= 0 for n in (offset, *(n for shape in shapes for n in shape)))


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    if pairs != ():
        raise PickleError("a mapping made from a list")
    return {}


def _parameter(data: Any, *_: object) -> Any:
    return data


_STORAGE_TYPES = {name: _StorageType(name) for name in _STORAGES}
