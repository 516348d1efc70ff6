"""A batch of tokens as llama.cpp takes it. Knows arrays and pointers; runs nothing."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


class Batch:
    """A llama_batch (the class is given as `struct`) over NumPy arrays, which fill much faster than ctypes pointers."""

    def __init__(self, room: int, struct: Any) -> None:
        self._token, self._position, self._stream = (np.zeros(room, np.int32) for _ in range(3))
        self._wanted = np.zeros(room, np.int8)
        self._one = np.ones(room, np.int32)
        self._stream_pointers = self._stream.ctypes.data + 4 * np.arange(room, dtype=np.uint64)
        self.struct = struct(
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
