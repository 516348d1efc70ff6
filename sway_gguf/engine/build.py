"""Which llama.cpp computes here, and on what: what may change the bits of an answer though nobody changed a setting.

Knows the loaded library's files and devices; runs no model.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sway_gguf.artifacts.digest import sha256_of
from sway_gguf.engine import llama
from sway_gguf.engine.library import llama_cpp

_LIBRARIES = (".so", ".dylib", ".dll")


@cache
def engine_identity(*, gpu: bool) -> dict[str, Any]:
    """Builds and features of what computes: llama.cpp, and NumPy, which reduces logits and draws nulls.

    Args:
        gpu: whether layers run on a device of the machine.
    """
    arithmetic: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = arithmetic.get("Build Dependencies", {}).get("blas", {})
    found = {
        "llama.cpp": llama.version(),
        "features": llama.system_info(),
        "library": _library_digest(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "simd": " ".join(arithmetic.get("SIMD Extensions", {}).get("found", ())),
        "machine": platform.machine(),
    }
    return found | ({"devices": _devices()} if gpu else {})


def _library_digest() -> str:
    """Of the contents of llama.cpp's shared libraries, wherever they lie."""
    folder = Path(llama_cpp._lib._name).parent
    files = sorted(path for path in folder.iterdir() if path.suffix in _LIBRARIES)
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in files).encode()).hexdigest()


def _devices() -> str:
    """What the library calls the devices of this machine; "" where it does not tell."""
    library = llama_cpp._lib
    try:
        count, get, describe = (
            getattr(library, f"ggml_backend_dev_{name}") for name in ("count", "get", "description")
        )
    except AttributeError:  # Windows looks for names in the library itself alone.
        return ""
    count.restype, get.restype, get.argtypes = ctypes.c_size_t, ctypes.c_void_p, [ctypes.c_size_t]
    describe.restype, describe.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    return "; ".join(describe(get(index)).decode("utf-8", "replace") for index in range(count()))
