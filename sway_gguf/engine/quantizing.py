"""Quantizing a whole GGUF by llama.cpp. Knows files, types and weights of columns; nothing of models that run."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.lora import Matrix
from sway_gguf.core.errors import EngineError
from sway_gguf.engine.library import forget_log, llama_cpp, why

QUANT_TYPES = {
    name.removeprefix("LLAMA_FTYPE_MOSTLY_"): getattr(llama_cpp, name)
    for name in sorted(dir(llama_cpp))
    if name.startswith("LLAMA_FTYPE_MOSTLY_") and not name.endswith(("_F16", "_BF16"))
}
"""llama.cpp's quantized file types by its own names, such as Q4_K_M."""


def quantize(
    source: Path, target: Path, kind: str, threads: int = 0, importance: Mapping[str, Matrix] | None = None
) -> None:
    """Write `source`, a GGUF of floats, as the quantized type `kind`.

    Nothing stops llama.cpp in it, so it is best run in a child process.

    Args:
        source, target: the files.
        kind: one of QUANT_TYPES.
        threads: 0 for llama.cpp's own choice.
        importance: [experts · width] weights of a tensor's columns, by its name.

    Raises:
        EngineError: llama.cpp refused, as for types that need an importance matrix.
    """
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = QUANT_TYPES[kind], threads
    columns = {name.encode(): np.ascontiguousarray(each, np.float32) for name, each in (importance or {}).items()}
    if columns:
        params.imatrix = _entries(columns)
    forget_log()
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)):
        raise EngineError(f"llama.cpp cannot quantize to {kind}: {why()}")


def _entries(columns: Mapping[bytes, Matrix]) -> Any:
    """As llama.cpp takes weights of columns: entries up to one without a name, which point into `columns`.

    Raises:
        EngineError: this release of llama-cpp-python has no such entries.
    """
    entry = getattr(llama_cpp, "llama_model_imatrix_data", None)
    if entry is None:
        raise EngineError("this release of llama-cpp-python quantizes by no importance matrix; install a later one")
    floats = ctypes.POINTER(ctypes.c_float)
    filled = [entry(name, each.ctypes.data_as(floats), each.size) for name, each in columns.items()]
    return (entry * (len(filled) + 1))(*filled)
