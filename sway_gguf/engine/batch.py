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
    """One stretch of a sequence in a batch, or of several that are alike so far.

    Attributes:
        sequences: ids of those that it belongs to.
        start: position of the first token.
        tokens: token ids.
        outputs_from: logits are wanted from this index of `tokens` on.
    """

    sequences: tuple[int, ...]
    start: int
    tokens: Sequence[int]
    outputs_from: int


class Batch:
    """A llama_batch (the class is given as `struct`) over NumPy arrays, which fill much faster than ctypes pointers."""

    def __init__(self, room: int, struct: Any) -> None:
        self._token, self._position, self._shared_by = (np.zeros(room, np.int32) for _ in range(3))
        self._wanted = np.zeros(room, np.int8)
        self._sequences = np.zeros(0, np.int32)
        self._sequence_pointers = np.zeros(room, np.uint64)
        self.struct = struct(
            n_tokens=0,
            token=_pointer(self._token, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._position, ctypes.c_int32),
            n_seq_id=_pointer(self._shared_by, ctypes.c_int32),
            seq_id=_pointer(self._sequence_pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._wanted, ctypes.c_int8),
        )

    def fill(self, pieces: Sequence[Piece]) -> int:
        """Lay `pieces` out one after the other; returns how many outputs they want."""
        self._sequences = np.asarray([each for piece in pieces for each in piece.sequences], np.int32)
        row, ids = 0, self._sequences.ctypes.data
        for piece in pieces:
            end = row + len(piece.tokens)
            self._token[row:end] = piece.tokens
            self._position[row:end] = np.arange(piece.start, piece.start + len(piece.tokens))
            self._shared_by[row:end] = len(piece.sequences)
            self._sequence_pointers[row:end] = ids
            self._wanted[row:end] = np.arange(len(piece.tokens)) >= piece.outputs_from
            row, ids = end, ids + self._sequences.itemsize * len(piece.sequences)
        self.struct.n_tokens = row
        return int(self._wanted[:row].sum())


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
