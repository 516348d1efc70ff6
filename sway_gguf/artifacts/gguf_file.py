"""Reads a GGUF file's header: metadata and tensor table. Weights stay on disk until one is asked for.

Turns every way in which a file can be wrong into one line for the user. Knows nothing of LoRA or of models.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType
from numpy.typing import NDArray

from sway_gguf.core.errors import UserError

MAGIC = b"GGUF"
_READ_ERRORS = (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, TypeError, struct.error)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table.

    Attributes:
        name: as llama.cpp knows it.
        shape: numpy order, slowest dimension first: a linear layer is (d_out, d_in).
        type: ggml type name, such as "F16" or "Q4_K".
        size: bytes on disk.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    size: int


class GGUFFile:
    """A GGUF file seen through its header.

    Raises:
        UserError: the path is missing, a directory, empty, not GGUF, or cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_magic(path)
        try:
            self._reader = gguf.GGUFReader(path)
        except _READ_ERRORS as error:
            raise UserError(
                f"{path}: the file is cut short or damaged ({_first_line(error)}); download or convert it again"
            ) from error

    @cached_property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """The tensor table, by name, in file order."""
        return {
            tensor.name: TensorInfo(
                tensor.name,
                tuple(int(size) for size in reversed(tensor.shape)),
                tensor.tensor_type.name,
                int(tensor.n_bytes),
            )
            for tensor in self._reader.tensors
        }

    def get(self, key: str) -> Any:
        """Metadata value as plain Python, or None when the key is absent. Arrays come as lists."""
        field = self._reader.get_field(key)
        return None if field is None else field.contents()

    def value_type(self, key: str) -> GGUFValueType | None:
        """The type under which `key` is stored, or None when it is absent."""
        field = self._reader.get_field(key)
        return None if field is None or not field.types else field.types[0]

    def scalars(self) -> dict[str, Any]:
        """All metadata but arrays, for reports."""
        return {
            name: field.contents()
            for name, field in self._reader.fields.items()
            if field.types and field.types[0] != GGUFValueType.ARRAY and not name.startswith("GGUF.")
        }

    def array_length(self, key: str) -> int | None:
        """Number of entries of an array value, without decoding them."""
        field = self._reader.get_field(key)
        return None if field is None else len(field.data)

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor, dequantized to float32, in the shape of its `TensorInfo`."""
        tensor = next(tensor for tensor in self._reader.tensors if tensor.name == name)
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return np.asarray(data, dtype=np.float32).reshape(self.tensors[name].shape)

    @property
    def kind(self) -> str:
        """`adapter`, `model`, … from general.type; files that say nothing are models."""
        if self.value_type("general.type") not in (None, GGUFValueType.STRING):
            return "unreadable"
        return self.get("general.type") or "model"

    @property
    def architecture(self) -> str:
        """general.architecture, or "" when missing."""
        return str(self.get("general.architecture") or "")


def storable(type_name: str) -> GGMLQuantizationType:
    """The type under which a new tensor is written in place of one of `type_name`: F16 and BF16 stay, all else F32."""
    return {"F16": GGMLQuantizationType.F16, "BF16": GGMLQuantizationType.BF16}.get(type_name, GGMLQuantizationType.F32)


def _check_magic(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: this is a directory; give the .gguf file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if not head:
        raise UserError(f"{path}: the file is empty; download or convert it again")
    if head[:4] != MAGIC:
        raise UserError(f"{path}: not a GGUF file (it does not begin with 'GGUF'); convert the model to GGUF first")
    if len(head) < 8:
        raise UserError(f"{path}: the file is cut short after {len(head)} bytes; download it again")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
