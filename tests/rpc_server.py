"""llama.cpp's RPC server, as the library itself holds it, in a process of its own; for builds that have it.

python -m tests.rpc_server PORT
"""

from __future__ import annotations

import ctypes
import sys

from sway_gguf.engine.library import ggml


def serve(port: int) -> None:
    """Serve this machine's processors on loopback until the process is ended."""
    library = ggml()
    for name, kind in (("reg_by_name", ctypes.c_void_p), ("reg_get_proc_address", ctypes.c_void_p),
                       ("dev_by_type", ctypes.c_void_p)):  # fmt: skip
        getattr(library, f"ggml_backend_{name}").restype = kind
    registry = ctypes.c_void_p(library.ggml_backend_reg_by_name(b"RPC"))
    address = library.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_rpc_start_server")
    start = ctypes.CFUNCTYPE(
        None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
    )(address)
    processors = (ctypes.c_void_p * 1)(library.ggml_backend_dev_by_type(0))
    start(f"127.0.0.1:{port}".encode(), None, 1, 1, processors)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
