"""Importance matrices: how much each input of a tensor was used, by which quantizers weigh their errors.

Reads llama.cpp's GGUF form (sums of squares beside counts) and the older .dat. Knows files; quantizes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.gguf_header import MAGIC
from sway_gguf.artifacts.lora import Matrix
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input, read_bytes, unreadable

_SUMS, _COUNTS = ".in_sum2", ".counts"
_GIVE = "an imatrix as llama-imatrix writes it"
_MOST_BYTES, _MOST_NAME = 4 << 30, 4096


def read_importance(path: Path, base: BaseModel) -> dict[str, Matrix]:
    """Mean squared input of each tensor's columns, expert by expert: [experts · width], by the tensor's name.

    Args:
        path: of the matrix.
        base: whose tensors it weighs.

    Raises:
        UserError: it cannot be read, is no importance matrix, or one of another model.
    """
    found = _of_gguf(GGUFFile(path)) if _head(path) == MAGIC else _of_dat(path)
    for name, values in found.items():
        if not np.isfinite(values).all() or (values < 0).any():
            raise UserError(f"{path}: {name} holds numbers that are no mean squares; compute it again")
    _check_fit(path, found, base)
    return found


def _head(path: Path) -> bytes:
    """The first four bytes.

    Raises:
        UserError: the file cannot be read.
    """
    check_input(path, _GIVE)
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise unreadable(path, error) from error


def _of_gguf(file: GGUFFile) -> dict[str, Matrix]:
    if file.kind != "imatrix":
        raise UserError(f"{file.path}: general.type is {file.kind!r}; give {_GIVE}")
    found: dict[str, Matrix] = {}
    for name in file.tensors:
        if name.endswith(_SUMS):
            module = name.removesuffix(_SUMS)
            counts = module + _COUNTS
            if counts not in file.tensors:
                raise UserError(f"{file.path}: {counts} is missing beside {name}; compute it again")
            sums, times = file.rows(name, slice(None)), file.rows(counts, slice(None)).reshape(-1, 1)
            if len(sums) != len(times):
                raise UserError(
                    f"{file.path}: {name} has {len(sums)} experts and {len(times)} counts; compute it again"
                )
            # An expert that no text reached weighs all its inputs the same.
            with np.errstate(divide="ignore", invalid="ignore"):
                means = np.where(times > 0, sums / times, np.float32(1))
            found[module] = means.astype(np.float32).reshape(-1)
    return found


def _of_dat(path: Path) -> dict[str, Matrix]:
    """Entries of (length of a name, name, calls, count of values, values), in little-endian int32 and float32."""
    data, place, found = read_bytes(path, _GIVE, _MOST_BYTES), 0, dict[str, Matrix]()

    def number() -> int:
        nonlocal place
        place += 4
        return int(struct.unpack_from("<i", data, place - 4)[0])

    try:
        for _ in range(number()):
            length = number()
            if not 0 < length <= _MOST_NAME:
                raise ValueError(f"a name of {length} characters")
            name = data[place : place + length].decode("utf-8")
            place += length
            calls, count = number(), number()
            if count < 1:
                raise ValueError(f"{count} values")
            values = np.frombuffer(data, "<f4", count, place)
            place += 4 * count
            found[name] = (values / np.float32(calls) if calls > 0 else values).astype(np.float32)
    except (struct.error, ValueError) as error:
        raise UserError(f"{path}: no importance matrix, or damaged ({error}); give {_GIVE}") from None
    return found


def _check_fit(path: Path, found: Mapping[str, Matrix], base: BaseModel) -> None:
    known = [name for name in found if name in base.tensors]
    if not known:
        raise UserError(f"{path}: names no tensor of {base.path}; give an importance matrix of this model")
    for name in known:
        shape = base.tensors[name].shape
        wanted = shape[-1] * (shape[0] if len(shape) > 2 else 1)
        if found[name].size != wanted:
            raise UserError(
                f"{path}: {name} has {found[name].size} values, the base's has {wanted} columns; give an importance "
                "matrix of this model"
            )
