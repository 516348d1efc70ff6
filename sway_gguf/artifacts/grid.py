"""Numbers as a type of weights stores them, and what it gives back. Knows layouts; quantizing is llama.cpp's work."""

from __future__ import annotations

from typing import Any

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quant_shape_to_byte_shape, quantize

from sway_gguf.artifacts.lora import Matrix

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
FLOATS = ("F32", "F16", "BF16")


def type_number(type_name: str) -> int:
    """What ggml calls the type."""
    return int(GGMLQuantizationType[type_name])


def room_for(shape: tuple[int, ...], type_name: str) -> Bytes:
    """Zeros where numbers of this shape will lie."""
    return np.zeros(quant_shape_to_byte_shape(shape, GGMLQuantizationType[type_name]), np.uint8)


def given_back(stored: Any, type_name: str) -> Matrix:
    """What bytes of a type stand for, float32."""
    with np.errstate(all="ignore"):
        return np.asarray(dequantize(stored, GGMLQuantizationType[type_name]), np.float32)


def as_float_type(numbers: Matrix, type_name: str) -> Matrix:
    """`numbers` after a float type has held them; infinite where they are beyond it."""
    with np.errstate(over="ignore"):
        return given_back(quantize(numbers, GGMLQuantizationType[type_name]), type_name)
