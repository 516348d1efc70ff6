"""A KV cache in llama.cpp, and the batches that run in it.

Owns a context's pointer. Knows tokens, sequences, positions and logits; nothing of queries or views.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.errors import EngineError
from sway_gguf.engine.batch import Batch, Piece
from sway_gguf.engine.interrupt import Interrupt
from sway_gguf.engine.library import forget_log, llama_cpp, uninterrupted, why
from sway_gguf.engine.turns import LayoutTurn

KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
_ABORTED = 2


class Context:
    """A KV cache and a batch: `streams` sequences of up to `length` tokens each, or, unified, of `length` in all.

    Only in a unified cache may a token belong to several sequences.

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
        unified: bool = False,
        batch: int,
        ubatch: int,
        outputs: int,
        threads: int,
        kv_type: str,
        flash_attention: bool,
        embeddings: bool = False,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = length if unified else streams * length, streams
        params.kv_unified = unified
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
        forget_log()
        self._pointer = None
        try:
            with self._interrupt.watching():
                self._pointer = llama_cpp.llama_init_from_model(model, params)
        except KeyboardInterrupt:
            self.close()
            raise
        if not self._pointer:
            raise EngineError(f"llama.cpp cannot make a context of {streams} × {length} tokens: {why()}")
        self._batch = Batch(batch, llama_cpp.llama_batch)
        self._vocabulary = vocabulary
        self._width: int = llama_cpp.llama_model_n_embd(model)

    def set_adapter(self, handle: Any | None, scale: float) -> None:
        """Run with this adapter alone, or with none."""
        self._turn.due = True
        if handle is None:
            failed = uninterrupted(llama_cpp.llama_set_adapters_lora, self._pointer, None, 0, None)
        else:
            handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(handle)
            scales = (ctypes.c_float * 1)(scale)
            failed = uninterrupted(llama_cpp.llama_set_adapters_lora, self._pointer, handles, 1, scales)
        if failed:
            raise EngineError(f"llama.cpp refused the adapter: {why()}")

    def use_threads(self, threads: int) -> None:
        """Evaluate on so many threads from the next batch on."""
        llama_cpp.llama_set_n_threads(self._pointer, threads, threads)

    def clear(self) -> None:
        """Forget all sequences."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._pointer), False)

    def forget(self, stream: int, start: int = 0) -> None:
        """Forget one sequence from a position on."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self._pointer), stream, start, -1)

    def copy(self, stream: int, other: int) -> None:
        """Put all that one sequence holds in the place of what the other does."""
        self.forget(other)
        llama_cpp.llama_memory_seq_cp(llama_cpp.llama_get_memory(self._pointer), stream, other, -1, -1)

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
        rows = self._run([Piece((0,), 0, tokens, 0)])
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
            raise EngineError(f"llama.cpp failed to evaluate a batch (status {status}): {why()}")
        return outputs

    def _stops(self, _: Any) -> bool:
        """Called after each operation."""
        self._turn.over()
        return self._interrupt.asked

    def close(self) -> None:
        """Release the context."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            uninterrupted(llama_cpp.llama_free, pointer)
