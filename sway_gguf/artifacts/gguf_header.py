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

from gguf.constants import GGUFValueType

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT_KEY, _DEFAULT_ALIGNMENT = "general.alignment", 32
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
        HeaderError: it is no GGUF of a known version, cut short within its header, or says a thing twice.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.fields: dict[str, Field] = {}
        self.tensors: dict[str, TensorPlace] = {}
        self._position = len(MAGIC)
        self._walk()

    def value(self, key: str) -> Any:
        """A value as plain Python, an array as a list; None when the key is absent.

        Raises:
            HeaderError: a text in it is not UTF-8.
        """
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
        """One item of an array; None where there is none.

        Raises:
            HeaderError: a text that is not UTF-8.
        """
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
            if key in self.fields:
                raise HeaderError(f"the key {key!r} stands in it twice")
            self.fields[key] = self._read_field()
        rows = [self._read_tensor() for _ in range(tensors)]
        start = self._aligned(self._position)
        for name, dims, kind, offset in rows:
            if name in self.tensors:
                raise HeaderError(f"the tensor {name!r} stands in it twice")
            self.tensors[name] = TensorPlace(name, dims, kind, start + offset)

    def _aligned(self, position: int) -> int:
        field = self.fields.get(_ALIGNMENT_KEY)
        if field is not None and (field.type, field.count) != (GGUFValueType.UINT32, None):
            raise HeaderError(f"{_ALIGNMENT_KEY} is no uint32")
        alignment = _DEFAULT_ALIGNMENT if field is None else self.value(_ALIGNMENT_KEY)
        if alignment <= 0 or alignment & (alignment - 1):
            raise HeaderError(f"{_ALIGNMENT_KEY} is {alignment}, no power of two")
        return int(-(-position // alignment) * alignment)

    def _read(self, form: str) -> Any:
        value = self._number(form, self._position)
        self._position += struct.calcsize(form)
        return value

    def _number(self, form: str, position: int) -> Any:
        if position + struct.calcsize(form) > len(self.bytes):
            raise HeaderError(f"the header ends at byte {len(self.bytes)}")
        return struct.unpack_from(form, self.bytes, position)[0]

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
        if not dimensions or 0 in dimensions:
            raise HeaderError(f"tensor {name!r} is empty")
        return name, dimensions, self._read("<I"), self._read("<Q")

    def _skip(self, kind: GGUFValueType, position: int, count: int) -> int:
        """The offset behind `count` values."""
        if kind != GGUFValueType.STRING:
            position += count * struct.calcsize(_SCALARS[kind])
        else:
            # A vocabulary passes here: the bound is looked at without a call.
            last, length = len(self.bytes) - 8, struct.Struct("<Q").unpack_from
            for _ in range(count):
                if position > last:
                    raise HeaderError(f"the header ends at byte {len(self.bytes)}")
                position += 8 + length(self.bytes, position)[0]
        if position > len(self.bytes):
            raise HeaderError(f"the header ends at byte {len(self.bytes)}")
        return position

    def _decode(self, kind: GGUFValueType, position: int) -> tuple[Any, int]:
        """A value and the offset behind it."""
        if kind != GGUFValueType.STRING:
            form = _SCALARS[kind]
            return self._number(form, position), position + struct.calcsize(form)
        end = position + 8 + self._number("<Q", position)
        if end > len(self.bytes):
            raise HeaderError(f"the header ends at byte {len(self.bytes)}")
        try:
            return self.bytes[position + 8 : end].decode("utf-8"), end
        except UnicodeDecodeError:
            raise HeaderError(f"the text at byte {position + 8} is not UTF-8") from None


def _value_type(number: int) -> GGUFValueType:
    try:
        return GGUFValueType(number)
    except ValueError:
        raise HeaderError(f"a metadata value has the unknown type {number}") from None
