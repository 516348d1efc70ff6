"""Turns logits into log-probabilities as soon as they are read. Knows arrays, nothing of llama.cpp or queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import Changes, LogProbs

_BLOCK_BYTES = 1 << 20
"""Rows are reduced in blocks, with room made once, that stay in a core's own cache."""


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
    """KL either way, same top token, and log p of the target, row by row. [n, V], [n, V], [n] → [n] each.

    With b and o the logits less their largest, and Z = Σ exp of each, KL(base ‖ other) = Σ eᵇ·(b − o) / Z_b − ln Z_b +
    ln Z_o, and the other way likewise: one exponential for each logit, and exactly 0 where the two are the same.

    Raises:
        NotFiniteError: a row gives no finite number.
    """
    count, chosen = len(targets), np.asarray(targets)
    before, after, divergence, back = (np.empty(count, np.float64) for _ in range(4))
    same = np.empty(count, np.bool_)
    block = _rows_per_block(base)
    room = [np.empty((min(block, count), base.shape[1]), np.float32) for _ in range(4)]
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        every, wanted = np.arange(rows.stop - start), chosen[rows]
        p, q = base[rows], other[rows]
        below_p, below_q, powers_p, powers_q = (array[: len(every)] for array in room)
        top_p, top_q = p.argmax(axis=1), q.argmax(axis=1)
        peak_p, peak_q = p[every, top_p], q[every, top_q]
        with np.errstate(invalid="ignore"):
            np.subtract(p, peak_p[:, None], out=below_p)
            np.subtract(q, peak_q[:, None], out=below_q)
            sum_q = np.exp(below_q, out=powers_q).sum(axis=1, dtype=np.float64)
            sum_p = np.exp(below_p, out=powers_p).sum(axis=1, dtype=np.float64)
            wider = np.log(sum_q) - np.log(sum_p)
            before[rows] = p[every, wanted].astype(np.float64) - peak_p - np.log(sum_p)
            after[rows] = q[every, wanted].astype(np.float64) - peak_q - np.log(sum_q)
            gaps = np.subtract(below_p, below_q, out=below_p)
            divergence[rows] = np.maximum(0.0, _weighted(powers_p, gaps, below_q) / sum_p + wider)
            back[rows] = np.maximum(0.0, -_weighted(powers_q, gaps, below_q) / sum_q - wider)
        same[rows] = top_p == top_q
    bad = np.flatnonzero(~np.isfinite(before) | ~np.isfinite(after) | ~np.isfinite(divergence) | ~np.isfinite(back))
    if bad.size:
        raise NotFiniteError(int(bad[0]))
    return Changes(divergence, back, same, before, after)


def _weighted(
    weights: NDArray[np.float32], gaps: NDArray[np.float32], room: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Σ weight · gap of each row; overwrites `room`. A logit of −∞ in both, as masked tokens have, is no gap."""
    total: NDArray[np.float64] = np.multiply(weights, gaps, out=room).sum(axis=1, dtype=np.float64)
    if np.isnan(total).any():
        np.copyto(room, 0.0, where=weights == 0)
        total = room.sum(axis=1, dtype=np.float64)
    return total


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
    room = np.empty((min(block, len(logits)), logits.shape[1]), np.float32)
    with np.errstate(invalid="ignore"):
        for start in range(0, len(logits), block):
            rows = logits[start : start + block]
            peak = rows.max(axis=1, keepdims=True)
            powers = np.subtract(rows, peak, out=room[: len(rows)])
            total = np.exp(powers, out=powers).sum(axis=1, dtype=np.float64)
            out[start : start + block] = np.log(total) + peak[:, 0]
    return out


def _rows_per_block(logits: NDArray[np.float32]) -> int:
    return max(1, int(_BLOCK_BYTES // max(1, logits.shape[1] * logits.itemsize)))
