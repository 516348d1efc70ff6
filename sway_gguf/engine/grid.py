"""What a tensor's numbers become under a type of weights, by the very code with which llama.cpp quantizes files.

Knows one tensor at a time; `quantizing.py` writes whole files.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from sway_gguf.artifacts.grid import FLOATS, Bytes, as_float_type, given_back, room_for, type_number
from sway_gguf.artifacts.lora import Matrix
from sway_gguf.core.errors import EngineError
from sway_gguf.engine.library import ggml


def on_grid(numbers: Matrix, type_name: str) -> Matrix:
    """`numbers` [rows, width] as a GGUF of this type gives them back, float32.

    Types that are made by an importance matrix alone get one in which every weight counts the same.

    Raises:
        EngineError: this build of llama.cpp cannot quantize one tensor alone.
    """
    if type_name in FLOATS:
        return as_float_type(numbers, type_name)
    return given_back(_quantized(np.ascontiguousarray(numbers, np.float32), type_name), type_name)


def _quantized(numbers: Matrix, type_name: str) -> Bytes:
    rows, width = numbers.shape
    kind, stored = type_number(type_name), room_for(numbers.shape, type_name)
    chunk, needs_weights = _functions()
    floats = ctypes.POINTER(ctypes.c_float)
    weights = np.ones(width, np.float32) if needs_weights(kind) else None
    by = weights.ctypes.data_as(floats) if weights is not None else None
    into = stored.ctypes.data_as(ctypes.c_void_p)
    done = chunk(kind, numbers.ctypes.data_as(floats), into, 0, rows, width, by)
    if done != stored.nbytes:
        raise EngineError(f"llama.cpp made {done} bytes of a tensor that takes {stored.nbytes} as {type_name}")
    return stored


@cache
def _functions() -> tuple[Any, Any]:
    """ggml_quantize_chunk and ggml_quantize_requires_imatrix, as ggml.h declares them."""
    floats, library = ctypes.POINTER(ctypes.c_float), ggml()
    try:
        chunk, needs_weights = library.ggml_quantize_chunk, library.ggml_quantize_requires_imatrix
    except AttributeError as error:
        raise EngineError(f"this build of llama.cpp cannot quantize one tensor alone ({error})") from error
    whole = ctypes.c_int64
    chunk.argtypes = [ctypes.c_int, floats, ctypes.c_void_p, whole, whole, whole, floats]
    chunk.restype = ctypes.c_size_t
    needs_weights.argtypes, needs_weights.restype = [ctypes.c_int], ctypes.c_bool
    return chunk, needs_weights
