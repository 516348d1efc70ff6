"""A value against its null values: z, rank p, tail p. Knows numbers and a direction, nothing of probes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sway_gguf.stats.student import stdtr

MIN_NULLS = 5
"""Fewer nulls than this give no verdict: a standard deviation of four values says next to nothing."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Where a value stands among its nulls.

    Attributes:
        mean, sd: of the nulls; sd with m − 1.
        z: (x − mean) / sd, or None when sd is 0. Shown, never the gate.
        rank_p: (1 + nulls at least as extreme) / (m + 1).
        tail_p: from Student's t on m − 1 degrees of freedom; rank_p where sd is 0.
        beats_all: whether x is more extreme than every null, in the direction asked.
        nulls: the values themselves.
    """

    mean: float
    sd: float
    z: float | None
    rank_p: float
    tail_p: float
    beats_all: bool
    nulls: tuple[float, ...]


def calibrate(
    value: float, nulls: Sequence[float], direction: Literal["higher", "lower", "two-sided"] = "higher"
) -> Calibration | None:
    """Compare `value` with `nulls`.

    The tail p is that of a new draw from a normal population seen m times: t = (x − ȳ) / (s·√(1 + 1/m)),
    the prediction interval's statistic (e.g. Hahn & Meeker 1991, §4.7). It assumes nulls near to normal.

    Returns:
        None with fewer than two nulls.

    Raises:
        ValueError: a number is not finite.
    """
    y = np.asarray(nulls, dtype=np.float64)
    if not (math.isfinite(value) and np.isfinite(y).all()):
        raise ValueError("calibration needs finite values")
    if y.size < 2:
        return None
    mean, sd = float(y.mean()), float(y.std(ddof=1))
    above, below = int((y >= value).sum()), int((y <= value).sum())
    rank = {
        "higher": (1 + above) / (y.size + 1),
        "lower": (1 + below) / (y.size + 1),
        "two-sided": min(1.0, 2 * (1 + min(above, below)) / (y.size + 1)),
    }[direction]
    beats = {"higher": above == 0, "lower": below == 0, "two-sided": min(above, below) == 0}[direction]
    if not sd > 0:
        return Calibration(mean, 0.0, None, rank, rank, beats, tuple(map(float, y)))
    tail = _tail_p((value - mean) / (sd * math.sqrt(1 + 1 / y.size)), y.size - 1, direction)
    return Calibration(mean, sd, (value - mean) / sd, rank, tail, beats, tuple(map(float, y)))


def _tail_p(t: float, degrees: int, direction: str) -> float:
    if direction == "higher":
        return stdtr(degrees, -t)
    if direction == "lower":
        return stdtr(degrees, t)
    return 2 * stdtr(degrees, -abs(t))


def smallest_rank_p(nulls: int) -> float:
    """The smallest p that `nulls` draws can reach by rank: 1 / (m + 1)."""
    return 1.0 / (nulls + 1)
