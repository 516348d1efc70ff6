"""Divergences between two next-token distributions, exact over the whole vocabulary.

Takes log-probabilities in nats; knows nothing of views. Sums run in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sway_gguf.core.answers import LogProbs

LN2 = math.log(2.0)


def kl(log_p: LogProbs, log_q: LogProbs) -> float:
    """KL(p ‖ q) = Σ p·(log p − log q), nats, ≥ 0. Terms with p = 0 count as 0. [V], [V] → scalar.

    Raises:
        ValueError: the shapes differ, or q is zero where p is not.
    """
    p64, q64 = _pair(log_p, log_q)
    return max(0.0, _kl(p64, q64))


def js(log_p: LogProbs, log_q: LogProbs) -> float:
    """Jensen–Shannon divergence, nats, in [0, ln 2], symmetric (Lin 1991). [V], [V] → scalar."""
    p64, q64 = _pair(log_p, log_q)
    log_m = np.logaddexp(p64, q64) - LN2
    return min(LN2, max(0.0, 0.5 * _kl(p64, log_m) + 0.5 * _kl(q64, log_m)))


def js_distance(log_p: LogProbs, log_q: LogProbs) -> float:
    """√JS: a metric (Endres & Schindelin 2003), linear in a small perturbation. [V], [V] → scalar."""
    return math.sqrt(js(log_p, log_q))


BY_NAME: dict[str, Callable[[LogProbs, LogProbs], float]] = {"js": js, "kl": lambda base, other: kl(other, base)}
"""(base, other) to js(base, other), or to kl(other ‖ base), by the name that specs use."""


def _pair(log_p: LogProbs, log_q: LogProbs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if log_p.shape != log_q.shape or log_p.ndim != 1:
        raise ValueError(f"distributions of shapes {log_p.shape} and {log_q.shape} cannot be compared")
    return log_p.astype(np.float64), log_q.astype(np.float64)


def _kl(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> float:
    held = np.isfinite(log_p)
    total = float(np.sum(np.exp(log_p[held]) * (log_p[held] - log_q[held])))
    if not math.isfinite(total):
        raise ValueError("q is zero where p is not: the divergence is infinite")
    return total
