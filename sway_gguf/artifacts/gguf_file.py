"""Reads a GGUF file's header: metadata and tensor table. Weights stay on disk until one is asked for.

Turns every way in which a file can be wrong into one line for the user: `text` and `whole` give metadata under the type
that the caller counts on, or say which key is of another. Knows nothing of LoRA or of models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from sway_gguf.artifacts.gguf_header import MAGIC, Header, HeaderError, TensorPlace
from sway_gguf.artifacts.misgiven import misgiven
from sway_gguf.core.errors import UserError
from sway_gguf.core.inputs import check_input

_WHOLE = (
    GGUFValueType.UINT8,
    GGUFValueType.INT8,
    GGUFValueType.UINT16,
    GGUFValueType.INT16,
    GGUFValueType.UINT32,
    GGUFValueType.INT32,
    GGUFValueType.UINT64,
    GGUFValueType.INT64,
)


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
        UserError: the path is missing, a directory or a pipe, empty, not GGUF, cut short, or says a thing twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_magic(path)
        try:
            self._header = Header(path)
            self._places = self._header.tensors
            self.tensors: Mapping[str, TensorInfo] = {name: _info(place) for name, place in self._places.items()}
        except HeaderError as error:
            raise UserError(
                f"{path}: the file is cut short or damaged ({error}); download or convert it again"
            ) from error
        self._check_length()

    def get(self, key: str) -> Any:
        """Metadata value as plain Python, whatever its type, or None when the key is absent. Arrays come as lists.

        Raises:
            UserError: a text in it is not UTF-8.
        """
        with self._naming(key):
            return self._header.value(key)

    def text(self, key: str) -> str:
        """A text; "" when the key is absent.

        Raises:
            UserError: it is of another type, or not UTF-8.
        """
        if self.value_type(key) not in (None, GGUFValueType.STRING):
            raise self._wrong(key, "a text")
        return self.get(key) or ""

    def whole(self, key: str) -> int:
        """A whole number ≥ 0, the first one of an array; 0 when the key is absent or the array empty.

        Raises:
            UserError: it is of another type, or negative.
        """
        if self.item_type(key) not in (None, *_WHOLE):
            raise self._wrong(key, "a whole number")
        value = self.get(key) if self.array_length(key) is None else self.array_item(key, 0)
        if (value or 0) < 0:
            raise UserError(f"{self.path}: {key} is {value}, a negative number; convert it again")
        return value or 0

    def metadata_keys(self) -> list[str]:
        """Names of all metadata, in file order."""
        return list(self._header.fields)

    def item_type(self, key: str) -> GGUFValueType | None:
        """The type of an array's items, or None when the key is absent."""
        field = self._header.fields.get(key)
        return None if field is None else field.type

    def value_type(self, key: str) -> GGUFValueType | None:
        """The type under which `key` is stored, or None when it is absent."""
        field = self._header.fields.get(key)
        if field is None:
            return None
        return field.type if field.count is None else GGUFValueType.ARRAY

    def array_length(self, key: str) -> int | None:
        """Number of entries of an array value, without decoding them."""
        field = self._header.fields.get(key)
        return None if field is None else field.count

    def array_item(self, key: str, index: int) -> Any:
        """One entry of an array value, without decoding the others; None where there is none.

        Raises:
            UserError: a text that is not UTF-8.
        """
        with self._naming(key):
            return self._header.item(key, index)

    def read(self, name: str) -> NDArray[np.float32]:
        """One tensor, dequantized to float32, in the shape of its `TensorInfo`.

        Raises:
            UserError: the gguf package cannot turn its type into floats.
        """
        info = self.tensors[name]
        return self.rows(name, slice(None)).reshape(info.shape)

    def rows(self, name: str, which: slice) -> NDArray[np.float32]:
        """Rows of a tensor, dequantized to float32: [rows, width], whatever number of dimensions it has.

        Raises:
            UserError: the gguf package cannot turn its type into floats.
        """
        info, place = self.tensors[name], self._places[name]
        kind = GGMLQuantizationType(place.type)
        width, count = (info.shape[-1] if info.shape else 1), math.prod(info.shape[:-1])
        raw = np.frombuffer(self._header.bytes, np.uint8, info.size, place.start)
        rows = raw.reshape(count, info.size // max(1, count))[which]
        if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            data = rows.view(np.float32 if kind == GGMLQuantizationType.F32 else np.float16)
            return data.astype(np.float32, copy=False).reshape(len(rows), width)
        try:
            # Scales that are not finite come out as such numbers; whoever reads them looks for that.
            with np.errstate(all="ignore"):
                return np.asarray(dequantize(rows, kind), dtype=np.float32).reshape(len(rows), width)
        except NotImplementedError:
            raise UserError(
                f"{self.path}: {name} is of type {info.type}, which cannot be read as floats here; give an F16 file"
            ) from None

    @contextmanager
    def _naming(self, key: str) -> Iterator[None]:
        try:
            yield
        except HeaderError as error:
            raise UserError(f"{self.path}: {key} is damaged ({error}); download or convert it again") from error

    def _wrong(self, key: str, wanted: str) -> UserError:
        found, items = self.value_type(key), self.item_type(key)
        assert found is not None
        assert items is not None
        name = f"an array of {items.name.lower()}" if found == GGUFValueType.ARRAY else found.name.lower()
        return UserError(f"{self.path}: {key} is {name}, where {wanted} is wanted; convert it again")

    def _check_length(self) -> None:
        end = max((place.start + self.tensors[place.name].size for place in self._places.values()), default=0)
        present = len(self._header.bytes)
        if end > present:
            raise UserError(
                f"{self.path}: the file is cut short ({present} bytes of {end}); download or convert it again"
            )

    @property
    def kind(self) -> str:
        """`adapter`, `model`, … from general.type; files that say nothing are models.

        Raises:
            UserError: it is no text; llama.cpp aborts on that.
        """
        return self.text("general.type") or "model"

    @property
    def architecture(self) -> str:
        """general.architecture, or "" when missing.

        Raises:
            UserError: it is no text; llama.cpp aborts on that.
        """
        return self.text("general.architecture")


@cache
def readable(type_name: str) -> bool:
    """Whether the gguf package turns a type that it knows into floats."""
    kind = GGMLQuantizationType[type_name]
    try:
        dequantize(np.zeros((1, int(GGML_QUANT_SIZES[kind][1])), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def storable(type_name: str) -> GGMLQuantizationType:
    """The type under which a new tensor is written in place of one of `type_name`: F16 and BF16 stay, all else F32."""
    return {"F16": GGMLQuantizationType.F16, "BF16": GGMLQuantizationType.BF16}.get(type_name, GGMLQuantizationType.F32)


def encoded(numbers: NDArray[np.float32], kind: GGMLQuantizationType, name: str) -> NDArray[Any]:
    """`numbers` as F32, F16 or BF16 stores them; what is not finite already stays so.

    Raises:
        UserError: a number is beyond what `kind` can hold; `name` stands in the message.
    """
    peak = np.array([max(numbers.max(), -numbers.min())], np.float32)
    with np.errstate(over="ignore"):
        held = dequantize(quantize(peak, kind), kind)
        if np.isfinite(peak).all() and not np.isfinite(held).all():
            raise UserError(f"{name} holds {peak[0]:.3g}, beyond what {kind.name} can store; write it as F32")
        stored: NDArray[Any] = quantize(numbers, kind)
    return stored


def _info(place: TensorPlace) -> TensorInfo:
    try:
        kind = GGMLQuantizationType(place.type)
    except ValueError:
        raise HeaderError(f"tensor {place.name!r} has the unknown type {place.type}") from None
    shape = place.dimensions[::-1]
    block, row = int(GGML_QUANT_SIZES[kind][0]), shape[-1] if shape else 1
    if row % block:
        raise HeaderError(f"tensor {place.name!r} has rows of {row}, no multiple of {kind.name}'s block of {block}")
    return TensorInfo(place.name, shape, kind.name, stored_size(shape, kind))


def stored_size(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    """Bytes of a tensor of this shape and type."""
    per_block, block_bytes = GGML_QUANT_SIZES[kind]
    return math.prod(shape) // int(per_block) * int(block_bytes)


def _check_magic(path: Path) -> None:
    if other := misgiven(path):
        raise UserError(f"{path}: {other}")
    check_input(path, "a .gguf file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if not head:
        raise UserError(f"{path}: the file is empty; download or convert it again")
    if head[:4] != MAGIC:
        raise UserError(f"{path}: not a GGUF file (it does not begin with 'GGUF'); give one, or convert to it first")
    if len(head) < 8:
        raise UserError(f"{path}: the file is cut short after {len(head)} bytes; download it again")
