"""Turns logits into log-probabilities as soon as they are read. Knows arrays, nothing of llama.cpp or queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Changes, LogProbs

_BLOCK_BYTES = 4 << 20
"""Rows are reduced in blocks that stay in the processor's cache."""


class NotFiniteError(ArithmeticError):
    """A logit or a log-probability is NaN or infinite. `row` says where."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row

    def __str__(self) -> str:
        return f"row {self.row} of the logits is not finite"


def target_logprobs(logits: NDArray[np.float32], targets: Sequence[int]) -> NDArray[np.float64]:
    """log softmax(logits[i])[targets[i]] for each row, nats. [n, V], [n] → [n].

    Sums run in float64.

    Raises:
        NotFiniteError: a row gives no finite number.
    """
    chosen = logits[np.arange(len(targets)), np.asarray(targets)].astype(np.float64)
    found: NDArray[np.float64] = chosen - log_sum_exp(logits)
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise NotFiniteError(int(bad[0]))
    return found


def changes(base: NDArray[np.float32], other: NDArray[np.float32], targets: Sequence[int]) -> Changes:
    """KL(base ‖ other), same top token, and log p of the target, row by row. [n, V], [n, V], [n] → [n] each.

    Raises:
        NotFiniteError: a row gives no finite number.
    """
    before, after = target_logprobs(base, targets), target_logprobs(other, targets)
    divergence, same = np.empty(len(targets), np.float64), np.empty(len(targets), np.bool_)
    block = _rows_per_block(base)
    for start in range(0, len(targets), block):
        rows = slice(start, start + block)
        log_p = base[rows] - log_sum_exp(base[rows])[:, None]
        log_q = other[rows] - log_sum_exp(other[rows])[:, None]
        p = np.exp(log_p)
        # A logit of −∞ in both, as masked tokens have, is no difference.
        gap = np.where(p > 0, log_p - log_q, 0.0)
        divergence[rows] = np.maximum(0.0, (p * gap).sum(axis=1))
        same[rows] = base[rows].argmax(axis=1) == other[rows].argmax(axis=1)
    bad = np.flatnonzero(~np.isfinite(divergence))
    if bad.size:
        raise NotFiniteError(int(bad[0]))
    return Changes(divergence, same, before, after)


def log_softmax_row(logits: NDArray[np.float32]) -> LogProbs:
    """log softmax of one row, nats. [V] → [V], a copy.

    Raises:
        NotFiniteError: the row holds NaN, +∞, or nothing but −∞.
    """
    total = log_sum_exp(logits[None, :])[0]
    if not np.isfinite(total):
        raise NotFiniteError(0)
    row: LogProbs = (logits.astype(np.float64) - total).astype(np.float32)
    return row


def log_sum_exp(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log Σ exp of each row. [n, V] → [n]. NaN where a row holds NaN or +∞."""
    block = _rows_per_block(logits)
    out = np.empty(len(logits), np.float64)
    with np.errstate(invalid="ignore"):
        for start in range(0, len(logits), block):
            rows = logits[start : start + block]
            peak = rows.max(axis=1, keepdims=True)
            shifted = np.exp(rows - peak)
            out[start : start + block] = np.log(shifted.sum(axis=1, dtype=np.float64)) + peak[:, 0]
    return out


def _rows_per_block(logits: NDArray[np.float32]) -> int:
    return max(1, int(_BLOCK_BYTES // max(1, logits.shape[1] * logits.itemsize)))
