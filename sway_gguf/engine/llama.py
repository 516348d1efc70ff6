"""llama.cpp through llama-cpp-python's low-level API: the only file that imports it.

Owns pointers: a model, its adapters, contexts. Knows tokens, positions and logits; nothing of queries or views.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.batch import Batch, Piece
from sway_gguf.engine.interrupt import Interrupt
from sway_gguf.engine.turns import LayoutTurn
from sway_gguf.engine.waiting import bound_spinning

bound_spinning()  # OpenMP reads its environment once, when llama.cpp is loaded with it.
import llama_cpp  # noqa: E402

logger = logging.getLogger("sway_gguf.llama")
logger.addHandler(logging.NullHandler())
KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
_ABORTED = 2
_LINES = 6
"""Of llama.cpp's log in an error; a refusal takes four."""
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_recent: deque[str] = deque(maxlen=20)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _: Any) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line:
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)
        if level in (3, 4):
            _recent.append(line)


llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))


class Model:
    """A loaded GGUF model; without `repack`, weights stay mapped as they lie in the file, unread.

    Raises:
        EngineError: llama.cpp could not load the file.
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0, vocabulary_only: bool = False, repack: bool = True) -> None:
        _recent.clear()
        _uninterrupted(llama_cpp.llama_backend_init)
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = vocabulary_only
        params.use_extra_bufts = repack
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
            raise EngineError(f"llama.cpp cannot load {path}: {_why()}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._pointer)
        self.vocabulary: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.width: int = llama_cpp.llama_model_n_embd(self._pointer)
        # llama.cpp gives an unsigned number of the file as a signed one.
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(self._pointer) & 0xFFFFFFFF
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
        _recent.clear()
        with self._adapters:
            handle = _uninterrupted(llama_cpp.llama_adapter_lora_init, self._pointer, os.fsencode(path))
        if not handle:
            raise EngineError(f"llama.cpp cannot load the adapter {path}: {_why()}")
        return handle

    def free_adapter(self, handle: Any) -> None:
        """Release an adapter. No context may use it any more."""
        with self._adapters:
            _uninterrupted(llama_cpp.llama_adapter_lora_free, handle)

    def context(self, **settings: Any) -> Context:
        """A context on this model; see `Context`."""
        with self._adapters:
            return Context(self._pointer, self.vocabulary, self._adapters, **settings)

    def close(self) -> None:
        """Release the model and what it still owns."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            _uninterrupted(llama_cpp.llama_model_free, pointer)


class Context:
    """A KV cache and a batch: `streams` sequences of up to `length` tokens, one stream per sequence.

    Raises:
        EngineError: llama.cpp could not make it, most often for want of memory.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: int,
        adapters: threading.Lock,
        *,
        streams: int,
        length: int,
        batch: int,
        ubatch: int,
        outputs: int,
        threads: int,
        kv_type: str,
        flash_attention: bool,
        embeddings: bool = False,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = streams * length, streams, False
        params.n_batch, params.n_ubatch = batch, min(ubatch, batch)
        params.n_outputs_max = max(outputs, streams)
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = KV_TYPES[kv_type]
        params.flash_attn_type = int(flash_attention)
        params.no_perf = True
        params.embeddings = embeddings
        self._interrupt = Interrupt()
        self._turn = LayoutTurn(adapters)
        self._callback = llama_cpp.ggml_abort_callback(self._stops)
        params.abort_callback = self._callback
        _recent.clear()
        self._pointer = None
        try:
            with self._interrupt.watching():
                self._pointer = llama_cpp.llama_init_from_model(model, params)
        except KeyboardInterrupt:
            self.close()
            raise
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot make a context of {streams} × {length} tokens: {_why()}")
        self._batch = Batch(batch, llama_cpp.llama_batch)
        self._vocabulary = vocabulary
        self._width: int = llama_cpp.llama_model_n_embd(model)

    def set_adapter(self, handle: Any | None, scale: float) -> None:
        """Run with this adapter alone, or with none."""
        self._turn.due = True
        if handle is None:
            failed = _uninterrupted(llama_cpp.llama_set_adapters_lora, self._pointer, None, 0, None)
        else:
            handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(handle)
            scales = (ctypes.c_float * 1)(scale)
            failed = _uninterrupted(llama_cpp.llama_set_adapters_lora, self._pointer, handles, 1, scales)
        if failed:
            raise EngineError(f"llama.cpp refused the adapter: {_why()}")

    def clear(self) -> None:
        """Forget all sequences."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._pointer), False)

    def forget(self, stream: int) -> None:
        """Forget one sequence."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self._pointer), stream, -1, -1)

    def decode(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """Evaluate `pieces` in one batch.

        Returns:
            [outputs, vocabulary] logits in the order of the pieces. A view into llama.cpp's memory: it is
            overwritten by the next call.

        Raises:
            EngineError: llama.cpp failed.
            KeyboardInterrupt: the user pressed Ctrl-C meanwhile.
        """
        outputs = self._run(pieces)
        if not outputs:
            return np.empty((0, self._vocabulary), np.float32)
        logits = llama_cpp.llama_get_logits(self._pointer)
        return np.ctypeslib.as_array(logits, shape=(outputs, self._vocabulary))

    def embed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """[d] vector of one text in a context made with `embeddings`.

        The model's own pooling where it has one, else the mean of the last hidden states.

        Raises:
            EngineError, KeyboardInterrupt: as `decode`.
        """
        self.clear()
        rows = self._run([Piece(0, 0, tokens, 0)])
        pooled = llama_cpp.llama_get_embeddings_seq(self._pointer, 0)
        if pooled:
            return np.ctypeslib.as_array(pooled, shape=(self._width,)).copy()
        hidden = np.ctypeslib.as_array(llama_cpp.llama_get_embeddings(self._pointer), shape=(rows, self._width))
        mean: NDArray[np.float32] = hidden.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def _run(self, pieces: Sequence[Piece]) -> int:
        """Evaluate; returns how many outputs there are."""
        outputs = self._batch.fill(pieces)
        with self._turn.taken(), self._interrupt.watching():
            status = llama_cpp.llama_decode(self._pointer, self._batch.struct)
        if status == _ABORTED:
            raise KeyboardInterrupt
        if status:
            raise EngineError(f"llama.cpp failed to evaluate a batch (status {status}): {_why()}")
        return outputs

    def _stops(self, _: Any) -> bool:
        """Called after each operation."""
        self._turn.over()
        return self._interrupt.asked

    def close(self) -> None:
        """Release the context."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            _uninterrupted(llama_cpp.llama_free, pointer)


def _uninterrupted(function: Callable[..., Any], *args: Any) -> Any:
    """A call into llama.cpp that logs: a signal waits for its return, for in the log callback it would be lost."""
    with Interrupt().watching():
        return function(*args)


def _why() -> str:
    """What llama.cpp logged last, on one line: the cause comes first there, what it led to after it."""
    lines = [" ".join(line.replace("=", " ").split()) for line in dict.fromkeys(_recent)]
    _recent.clear()
    return "; ".join(lines[-_LINES:]) or "it gave no reason"


def system_info() -> str:
    """llama.cpp's line on the features it was built with."""
    return str(llama_cpp.llama_print_system_info().decode().strip())


QUANT_TYPES = {
    name.removeprefix("LLAMA_FTYPE_MOSTLY_"): getattr(llama_cpp, name)
    for name in sorted(dir(llama_cpp))
    if name.startswith("LLAMA_FTYPE_MOSTLY_") and not name.endswith(("_F16", "_BF16"))
}
"""llama.cpp's quantized file types by its own names, such as Q4_K_M."""


def quantize(source: Path, target: Path, kind: str, threads: int = 0) -> None:
    """Write `source`, a GGUF of floats, as the quantized type `kind`.

    Nothing stops llama.cpp in it, so it is best run in a child process.

    Raises:
        EngineError: llama.cpp refused, as for types that need an importance matrix.
    """
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = QUANT_TYPES[kind], threads
    _recent.clear()
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)):
        raise EngineError(f"llama.cpp cannot quantize to {kind}: {_why()}")


def supports_gpu() -> bool:
    """Whether this build can put layers on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def version() -> str:
    """Version of llama-cpp-python."""
    return str(llama_cpp.__version__)
