"""Walks a GGUF file's header over a memory map: where each value lies, and the tensor table.

Arrays are stepped over and decoded when asked for: a vocabulary of 150,000 tokens costs a tenth of a second and no
memory, where decoding all of it costs seconds and hundreds of megabytes. Layout after the GGUF specification,
version 3. Knows bytes; not what a key means.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFValueType

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_MOST_DIMENSIONS = 4
_SCALARS = {
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}


class HeaderError(ValueError):
    """The bytes are no GGUF header, or end within it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A metadata value's place.

    Attributes:
        type: of the value; of its items where it is an array.
        start: offset of the value, or of the array's first item.
        count: items of an array; None for a single value.
    """

    type: GGUFValueType
    start: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor's row in the table: `dimensions` fastest first, `start` counted from the file's beginning."""

    name: str
    dimensions: tuple[int, ...]
    type: int
    start: int


class Header:
    """All fields and tensors of a file.

    Raises:
        OSError: the file cannot be read.
        HeaderError: it is no GGUF of a known version, or cut short within its header.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.fields: dict[str, Field] = {}
        self.tensors: list[TensorPlace] = []
        self._position = len(MAGIC)
        try:
            self._walk()
        except (struct.error, UnicodeDecodeError) as error:
            raise HeaderError(f"the header ends at byte {len(self.bytes)} or is garbled ({error})") from error

    def value(self, key: str) -> Any:
        """A value as plain Python, an array as a list; None when the key is absent."""
        field = self.fields.get(key)
        if field is None:
            return None
        if field.count is None:
            return self._decode(field.type, field.start)[0]
        items, position = [], field.start
        for _ in range(field.count):
            item, position = self._decode(field.type, position)
            items.append(item)
        return items

    def item(self, key: str, index: int) -> Any:
        """One item of an array; None where there is none."""
        field = self.fields.get(key)
        if field is None or field.count is None or not 0 <= index < field.count:
            return None
        return self._decode(field.type, self._skip(field.type, field.start, index))[0]

    def _walk(self) -> None:
        version = self._read("<I")
        if version not in _VERSIONS:
            raise HeaderError(f"GGUF version {version} is not among {', '.join(map(str, _VERSIONS))}")
        tensors, fields = self._read("<Q"), self._read("<Q")
        for _ in range(fields):
            key = self._read_string()
            self.fields[key] = self._read_field()
        rows = [self._read_tensor() for _ in range(tensors)]
        start = self._aligned(self._position)
        self.tensors = [TensorPlace(name, dims, kind, start + offset) for name, dims, kind, offset in rows]

    def _aligned(self, position: int) -> int:
        alignment = int(self.value("general.alignment") or _DEFAULT_ALIGNMENT)
        return -(-position // alignment) * alignment

    def _read(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.bytes, self._position)
        self._position += struct.calcsize(form)
        return value

    def _read_string(self) -> str:
        text, self._position = self._decode(GGUFValueType.STRING, self._position)
        return str(text)

    def _read_field(self) -> Field:
        kind, count = _value_type(self._read("<I")), None
        if kind == GGUFValueType.ARRAY:
            kind, count = _value_type(self._read("<I")), self._read("<Q")
            if kind == GGUFValueType.ARRAY:
                raise HeaderError("an array of arrays stands in the metadata")
        field = Field(kind, self._position, count)
        self._position = self._skip(kind, self._position, 1 if count is None else count)
        return field

    def _read_tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, count = self._read_string(), self._read("<I")
        if count > _MOST_DIMENSIONS:
            raise HeaderError(f"tensor {name!r} has {count} dimensions")
        dimensions = tuple(self._read("<Q") for _ in range(count))
        return name, dimensions, self._read("<I"), self._read("<Q")

    def _skip(self, kind: GGUFValueType, position: int, count: int) -> int:
        """The offset behind `count` values."""
        if kind != GGUFValueType.STRING:
            position += count * struct.calcsize(_SCALARS[kind])
        else:
            for _ in range(count):
                position += 8 + struct.unpack_from("<Q", self.bytes, position)[0]
        if position > len(self.bytes):
            raise HeaderError(f"the header ends at byte {len(self.bytes)}")
        return position

    def _decode(self, kind: GGUFValueType, position: int) -> tuple[Any, int]:
        """A value and the offset behind it."""
        if kind != GGUFValueType.STRING:
            form = _SCALARS[kind]
            return struct.unpack_from(form, self.bytes, position)[0], position + struct.calcsize(form)
        (length,) = struct.unpack_from("<Q", self.bytes, position)
        end = position + 8 + length
        if end > len(self.bytes):
            raise HeaderError(f"the header ends at byte {len(self.bytes)}")
        return self.bytes[position + 8 : end].decode("utf-8"), end


def _value_type(number: int) -> GGUFValueType:
    try:
        return GGUFValueType(number)
    except ValueError:
        raise HeaderError(f"a metadata value has the unknown type {number}") from None
