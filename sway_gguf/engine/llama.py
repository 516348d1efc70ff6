"""A GGUF model in llama.cpp, through llama-cpp-python's low-level API: its vocabulary, its adapters, its contexts.

Owns a model's pointer. Knows files and tokens; nothing of queries or views. Imports nothing but the library, for there
are processes that only see whether a file loads.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.interrupt import Interrupt
from sway_gguf.engine.library import forget_log, llama_cpp, uninterrupted, why
from sway_gguf.engine.rpc import devices

if TYPE_CHECKING:
    from sway_gguf.engine.context import Context


class Model:
    """A loaded GGUF model; without `repack`, weights stay mapped as they lie in the file, unread.

    With `servers` of llama.cpp's RPC the layers lie there, and on no other device.

    Raises:
        EngineError: llama.cpp could not load the file.
        UserError: this llama.cpp knows no RPC, or a server has no device.
    """

    def __init__(
        self,
        path: Path,
        *,
        gpu_layers: int = 0,
        vocabulary_only: bool = False,
        repack: bool = True,
        servers: Sequence[str] = (),
    ) -> None:
        forget_log()
        uninterrupted(llama_cpp.llama_backend_init)
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = repack
        if servers:
            held = devices(servers)  # llama.cpp reads the list while it loads.
            params.devices = ctypes.cast(held, ctypes.c_void_p)
        interrupt = Interrupt()
        go_on = llama_cpp.llama_progress_callback(lambda share, _: not interrupt.asked)
        params.progress_callback = go_on
        self._pointer = None
        self._adapters = threading.Lock()
        try:
            with interrupt.watching():
                self._pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        except KeyboardInterrupt:
            self.close()
            raise
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot load {path}: {why()}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._pointer)
        self.vocabulary: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.width: int = llama_cpp.llama_model_n_embd(self._pointer)
        # llama.cpp gives an unsigned number of the file as a signed one.
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(self._pointer) & 0xFFFFFFFF
        self.recurrent: bool = llama_cpp.llama_model_is_recurrent(self._pointer) or llama_cpp.llama_model_is_hybrid(
            self._pointer
        )
        bos = int(llama_cpp.llama_vocab_bos(self._vocab))
        self.bos: int | None = bos if llama_cpp.llama_vocab_get_add_bos(self._vocab) and bos >= 0 else None

    def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, with BOS once where the model's metadata wants one."""
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, False, True)
        if count < 0:
            raise EngineError(f"llama.cpp cannot tokenize a text of {len(text)} characters")
        tokens = list(buffer[:count])
        if self.bos is not None and tokens[:1] != [self.bos]:
            tokens.insert(0, self.bos)
        return tokens

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes of one token; control tokens have none, unless their names are asked for."""
        buffer = ctypes.create_string_buffer(256)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, control)
        return buffer.raw[: max(count, 0)]

    def ends_text(self, token: int) -> bool:
        """Whether generation stops at `token`."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def load_adapter(self, path: Path) -> Any:
        """A handle to a LoRA loaded from `path`; release it with `free_adapter`.

        Raises:
            EngineError: llama.cpp refused the file.
        """
        forget_log()
        with self._adapters:
            handle = uninterrupted(llama_cpp.llama_adapter_lora_init, self._pointer, os.fsencode(path))
        if not handle:
            raise EngineError(f"llama.cpp cannot load the adapter {path}: {why()}")
        return handle

    def free_adapter(self, handle: Any) -> None:
        """Release an adapter. No context may use it any more."""
        with self._adapters:
            uninterrupted(llama_cpp.llama_adapter_lora_free, handle)

    def context(self, **settings: Any) -> Context:
        """A context on this model; see `Context`."""
        from sway_gguf.engine.context import Context  # NumPy, which takes longer than loading a file

        with self._adapters:
            return Context(self._pointer, self.vocabulary, self._adapters, **settings)

    def close(self) -> None:
        """Release the model and what it still owns."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            uninterrupted(llama_cpp.llama_model_free, pointer)


def system_info() -> str:
    """llama.cpp's line on the features it was built with."""
    return str(llama_cpp.llama_print_system_info().decode().strip())


def supports_gpu() -> bool:
    """Whether this build can put layers on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def version() -> str:
    """Version of llama-cpp-python."""
    from importlib import metadata

    return metadata.version("llama-cpp-python")
