"""A context whose batches are timed. Knows contexts and a clock; stands in for nothing where nobody wants the times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.trace import BatchTime
from sway_gguf.engine.batch import Piece

OnBatch = Callable[[BatchTime], None]


class Decoder(Protocol):
    """The part of a context that answers queries."""

    def decode(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """Evaluate `pieces` in one batch."""
        ...

    def forget(self, stream: int, start: int = 0) -> None:
        """Forget one sequence from a position on."""
        ...

    def copy(self, stream: int, other: int) -> None:
        """Put all that one sequence holds in the place of what the other does."""
        ...


class TimedDecoder:
    """A context that tells how long each batch took."""

    def __init__(self, context: Decoder, view: str, kind: str, told: OnBatch) -> None:
        self._context, self._view, self._kind, self._told = context, view, kind, told

    def decode(self, pieces: Sequence[Piece]) -> NDArray[np.float32]:
        """Evaluate `pieces`, and tell."""
        start = time.perf_counter()
        logits = self._context.decode(pieces)
        seconds = time.perf_counter() - start
        tokens = sum(len(piece.tokens) for piece in pieces)
        sequences = {each for piece in pieces for each in piece.sequences}
        self._told(BatchTime(self._view, self._kind, tokens, len(sequences), seconds))
        return logits

    def forget(self, stream: int, start: int = 0) -> None:
        """Forget one sequence from a position on."""
        self._context.forget(stream, start)

    def copy(self, stream: int, other: int) -> None:
        """Put all that one sequence holds in the place of what the other does."""
        self._context.copy(stream, other)
