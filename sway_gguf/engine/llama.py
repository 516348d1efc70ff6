"""llama.cpp through llama-cpp-python's low-level API: the only file that imports it.

Owns pointers: a model, its adapters, contexts. Knows tokens, positions and logits; nothing of queries or views.
"""

from __future__ import annotations

import ctypes
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.interrupt import Interrupt

logger = logging.getLogger("sway_gguf.llama")
logger.addHandler(logging.NullHandler())
KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
_ABORTED = 2
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


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of a sequence in a batch.

    Attributes:
        stream: sequence id.
        start: position of the first token.
        tokens: token ids.
        outputs_from: logits are wanted from this index of `tokens` on.
    """

    stream: int
    start: int
    tokens: Sequence[int]
    outputs_from: int


class Model:
    """A loaded GGUF model.

    Raises:
        EngineError: llama.cpp could not load the file.
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0, vocabulary_only: bool = False) -> None:
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = vocabulary_only
        self._pointer = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot load {path}: {_why()}")
        self._vocab = llama_cpp.llama_model_get_vocab(self._pointer)
        self.vocabulary: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.width: int = llama_cpp.llama_model_n_embd(self._pointer)
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(self._pointer)
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

    def piece(self, token: int) -> bytes:
        """The bytes of one token; control tokens have none."""
        buffer = ctypes.create_string_buffer(256)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, False)
        return buffer.raw[: max(count, 0)]

    def ends_text(self, token: int) -> bool:
        """Whether generation stops at `token`."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def load_adapter(self, path: Path) -> Any:
        """A handle to a LoRA loaded from `path`; release it with `free_adapter`.

        Raises:
            EngineError: llama.cpp refused the file.
        """
        handle = llama_cpp.llama_adapter_lora_init(self._pointer, str(path).encode())
        if not handle:
            raise EngineError(f"llama.cpp cannot load the adapter {path}: {_why()}")
        return handle

    def free_adapter(self, handle: Any) -> None:
        """Release an adapter. No context may use it any more."""
        llama_cpp.llama_adapter_lora_free(handle)

    def context(self, **settings: Any) -> Context:
        """A context on this model; see `Context`."""
        return Context(self._pointer, self.vocabulary, **settings)

    def close(self) -> None:
        """Release the model and what it still owns."""
        if self._pointer:
            llama_cpp.llama_model_free(self._pointer)
            self._pointer = None


class Context:
    """A KV cache and a batch: `streams` sequences of up to `length` tokens, one stream per sequence.

    Raises:
        EngineError: llama.cpp could not make it, most often for want of memory.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: int,
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
        self._callback = llama_cpp.ggml_abort_callback(lambda _: self._interrupt.asked)
        params.abort_callback = self._callback
        self._pointer = llama_cpp.llama_init_from_model(model, params)
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot make a context of {streams} × {length} tokens: {_why()}")
        self._batch = _Batch(batch)
        self._vocabulary = vocabulary
        self._width: int = llama_cpp.llama_model_n_embd(model)

    def set_adapter(self, handle: Any | None, scale: float) -> None:
        """Run with this adapter alone, or with none."""
        if handle is None:
            failed = llama_cpp.llama_set_adapters_lora(self._pointer, None, 0, None)
        else:
            handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(handle)
            failed = llama_cpp.llama_set_adapters_lora(self._pointer, handles, 1, (ctypes.c_float * 1)(scale))
        if failed:
            raise EngineError(f"llama.cpp refused the adapter: {_why()}")

    def clear(self) -> None:
        """Forget all sequences."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._pointer), False)

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
        with self._interrupt.watching():
            status = llama_cpp.llama_decode(self._pointer, self._batch.struct)
        if status == _ABORTED:
            raise KeyboardInterrupt
        if status:
            raise EngineError(f"llama.cpp failed to evaluate a batch (status {status}): {_why()}")
        return outputs

    def close(self) -> None:
        """Release the context."""
        if self._pointer:
            llama_cpp.llama_free(self._pointer)
            self._pointer = None


class _Batch:
    """A llama_batch over NumPy arrays, which fill much faster than ctypes pointers do."""

    def __init__(self, room: int) -> None:
        self._token, self._position, self._stream = (np.zeros(room, np.int32) for _ in range(3))
        self._wanted = np.zeros(room, np.int8)
        self._one = np.ones(room, np.int32)
        self._stream_pointers = self._stream.ctypes.data + 4 * np.arange(room, dtype=np.uint64)
        self.struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=_pointer(self._token, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._position, ctypes.c_int32),
            n_seq_id=_pointer(self._one, ctypes.c_int32),
            seq_id=_pointer(self._stream_pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._wanted, ctypes.c_int8),
        )

    def fill(self, pieces: Sequence[Piece]) -> int:
        """Lay `pieces` out one after the other; returns how many outputs they want."""
        row = 0
        for piece in pieces:
            end = row + len(piece.tokens)
            self._token[row:end] = piece.tokens
            self._position[row:end] = np.arange(piece.start, piece.start + len(piece.tokens))
            self._stream[row:end] = piece.stream
            self._wanted[row:end] = np.arange(len(piece.tokens)) >= piece.outputs_from
            row = end
        self.struct.n_tokens = row
        return int(self._wanted[:row].sum())


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))


def _why() -> str:
    """The last errors that llama.cpp logged, on one line."""
    lines = list(dict.fromkeys(_recent))[-2:]
    _recent.clear()
    return "; ".join(lines) or "it gave no reason"


def system_info() -> str:
    """llama.cpp's line on the features it was built with."""
    return str(llama_cpp.llama_print_system_info().decode().strip())


def supports_gpu() -> bool:
    """Whether this build can put layers on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def version() -> str:
    """Version of llama-cpp-python."""
    return str(llama_cpp.__version__)
