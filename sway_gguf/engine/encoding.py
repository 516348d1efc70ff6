"""Plain values as bytes and back: numbers, text, tuples, arrays and our own records, exactly.

Equal values give equal bytes, on every machine. What is read runs nothing: a tag says what follows, and whatever is odd
about it, to the last byte, is an error. Knows no store and no model.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

_DEEPEST = 16
_ARRAYS: dict[bytes, np.dtype[Any]] = {b"d": np.dtype("<f8"), b"f": np.dtype("<f4"), b"?": np.dtype("bool")}
_INTEGERS: dict[bytes, np.dtype[Any]] = {b"i": np.dtype("<i4"), b"q": np.dtype("<i8")}
Records = Mapping[str, type]
"""Classes of records, by their names."""


class OddBytesError(ValueError):
    """Bytes that `encode` does not write."""


def encode(value: Any) -> bytes:
    """`value` as bytes.

    Args:
        value: None, a truth value, number, text, bytes, tuple, mapping by text, NumPy array of float64, float32 or
            bool, or a dataclass of these.

    Raises:
        TypeError: anything else is in it.
    """
    out: list[bytes] = []
    _write(value, out.append)
    return b"".join(out)


def decode(data: bytes, records: Records) -> Any:
    """The value that `encode` made `data` of; arrays own their memory.

    Args:
        data: bytes.
        records: the only classes that are made.

    Raises:
        OddBytesError: `encode` did not write them, or they hold another record.
    """
    reader = _Reader(data, records)
    try:
        value = reader.value(_DEEPEST)
    except (struct.error, UnicodeDecodeError, TypeError, ValueError, OverflowError) as error:
        raise OddBytesError(str(error)) from error
    if reader.at != len(data):
        raise OddBytesError(f"{len(data) - reader.at} bytes behind the end")
    return value


def entry(data: bytes, *names: str) -> Any:
    """A plain value within mappings in `data`, by their names; what stands behind it need not be there.

    Raises:
        OddBytesError: it is not there, or what stands before it is odd.
    """
    reader = _Reader(data, {})
    try:
        for name in names:
            reader.seek(name)
        return reader.value(1 + 1)
    except (struct.error, UnicodeDecodeError) as error:
        raise OddBytesError(str(error)) from error


def _write(value: Any, put: Callable[[bytes], None]) -> None:
    if value is None or isinstance(value, bool):
        put({None: b"N", True: b"T", False: b"F"}[value])
    elif isinstance(value, int):
        put(b"I" + struct.pack("<q", value))
    elif isinstance(value, float):
        put(b"D" + struct.pack("<d", value))
    elif isinstance(value, str | bytes):
        text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        put((b"S" if isinstance(value, str) else b"B") + struct.pack("<Q", len(text)))
        put(text)
    elif isinstance(value, np.ndarray):
        _write_array(value, put)
    elif isinstance(value, tuple):
        _write_tuple(value, put)
    elif isinstance(value, Mapping):
        put(b"M" + struct.pack("<Q", len(value)))
        for name in sorted(value):
            _write(name, put)
            _write(value[name], put)
    elif is_dataclass(value) and not isinstance(value, type):
        put(b"R")
        _write(type(value).__name__, put)
        _write({field.name: getattr(value, field.name) for field in fields(value)}, put)
    else:
        raise TypeError(f"a {type(value).__name__} has no encoding")


def _write_array(value: np.ndarray, put: Callable[[bytes], None]) -> None:
    for tag, kind in _ARRAYS.items():
        if value.dtype == kind:
            put(b"A" + tag + struct.pack(f"<B{value.ndim}Q", value.ndim, *value.shape))
            put(np.ascontiguousarray(value, kind).tobytes())
            return
    raise TypeError(f"an array of {value.dtype} has no encoding")


def _write_tuple(value: tuple[Any, ...], put: Callable[[bytes], None]) -> None:
    """Token ids, the bulk of a request, take four bytes each."""
    if value and all(type(item) is int for item in value):
        tag = b"i" if min(value) >= -(1 << 31) and max(value) < 1 << 31 else b"q"
        put(b"V" + tag + struct.pack("<Q", len(value)))
        put(np.array(value, _INTEGERS[tag]).tobytes())
        return
    put(b"L" + struct.pack("<Q", len(value)))
    for item in value:
        _write(item, put)


class _Reader:
    """Reads from `at` on."""

    def __init__(self, data: bytes, records: Records) -> None:
        self._data, self._records, self.at = data, records, 0

    def value(self, depth: int) -> Any:
        if depth == 0:
            raise OddBytesError("too deep")
        tag = self._take(1)
        if tag in b"NTF":
            return {b"N": None, b"T": True, b"F": False}[tag]
        if tag in b"ID":
            return self._number("<q" if tag == b"I" else "<d")
        if tag in b"SB":
            data = self._take(self._length())
            return data.decode("utf-8", "surrogatepass") if tag == b"S" else data
        if tag == b"A":
            return self._array()
        if tag == b"V":
            kind = _INTEGERS.get(self._take(1))
            if kind is None:
                raise OddBytesError("an unknown kind of integers")
            return tuple(np.frombuffer(self._take(self._length() * kind.itemsize), kind).tolist())
        if tag == b"L":
            return tuple(self.value(depth - 1) for _ in range(self._length()))
        if tag == b"M":
            return self._mapping(depth)
        if tag == b"R":
            return self._record(depth)
        raise OddBytesError(f"an unknown tag {tag!r}")

    def seek(self, name: str) -> None:
        """Go to the value of a name in the mapping that begins here."""
        if self._take(1) != b"M":
            raise OddBytesError("not a mapping")
        for _ in range(self._length()):
            if self.value(1 + 1) == name:
                return
            self.value(_DEEPEST)
        raise OddBytesError(f"no {name} in it")

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self._length()):
            name = self.value(1 + 1)
            if not isinstance(name, str) or name in found:
                raise OddBytesError("a name that is none, or stands twice")
            found[name] = self.value(depth - 1)
        return found

    def _record(self, depth: int) -> Any:
        name, values = self.value(2), self.value(depth - 1)
        kind = self._records.get(name) if isinstance(name, str) else None
        if kind is None or not isinstance(values, dict) or set(values) != {field.name for field in fields(kind)}:
            raise OddBytesError(f"not a record that is known: {name!r}")
        return kind(**values)

    def _array(self) -> np.ndarray:
        kind = _ARRAYS.get(self._take(1))
        if kind is None:
            raise OddBytesError("an unknown kind of array")
        shape = [self._length() for _ in range(self._take(1)[0])]
        size = kind.itemsize
        for length in shape:
            size *= length
        data = self._take(size)
        if kind == np.bool_ and data.strip(b"\0\1"):
            raise OddBytesError("a truth value that is none")
        return np.frombuffer(data, kind).reshape(shape).copy()

    def _length(self) -> int:
        length = self._number("<Q")
        # Every item takes a byte at least.
        if length > len(self._data) - self.at:
            raise OddBytesError("a length beyond the end")
        return int(length)

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(8))[0]

    def _take(self, count: int) -> bytes:
        data = self._data[self.at : self.at + count]
        if len(data) != count:
            raise OddBytesError("an end before the end")
        self.at += count
        return data
