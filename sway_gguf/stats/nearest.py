"""Which of several predictions is nearest to what was seen, and how surely. Knows a table of distances only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sway_gguf.stats.signs import signs_of

_ALL_SIGNS = 16
"""Up to so many items every assignment of signs is taken; beyond, as many are drawn by seed as would be here."""
_TIE = 1e-9


class Nearest(NamedTuple):
    """The row with the least mean distance, and for each row the p that it is as near."""

    row: int
    p: tuple[float, ...]


def nearest(table: Sequence[ArrayLike] | NDArray[np.float64], *, seed: int, comparisons: int | None = None) -> Nearest:
    """The nearest of several predictions of the same items.

    If another one were as near as the nearest, the difference of the two distances of an item would be as likely to
    have either sign: p is the share of all assignments of signs whose sum is at least the one seen (the one-sided
    sign-flip test, Fisher 1935; with drawn signs (1 + k) / (1 + m), Phipson & Smyth 2010). The nearest was picked from
    all, so each p is multiplied by the number of comparisons (Bonferroni).

    Args:
        table: [k, n] distances, row by row.
        seed: of the signs, where they are drawn.
        comparisons: to correct for; k − 1 by default.

    Returns:
        The row, the first of equals, and [k] p, 1 for the nearest itself.

    Raises:
        ValueError: no row or no item, or a distance that is not finite.
    """
    rows = np.asarray(table, np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError("a table of finite distances with a row and an item or more is wanted")
    best = int(rows.mean(axis=1).argmin())
    signs = signs_of(rows.shape[1], every=_ALL_SIGNS, seed=seed)
    factor = max(1, len(rows) - 1 if comparisons is None else comparisons)
    p = (1.0 if row == best else min(1.0, factor * _larger(rows[row] - rows[best], signs)) for row in range(len(rows)))
    return Nearest(best, tuple(p))


def surely_above(values: ArrayLike, limit: float, *, seed: int) -> float:
    """One-sided p by the same test that the values' centre is no more than `limit`. [n] → scalar."""
    above = np.asarray(values, np.float64) - limit
    return _larger(above, signs_of(above.size, every=_ALL_SIGNS, seed=seed))


def _larger(difference: NDArray[np.float64], signs: NDArray[np.float64]) -> float:
    """Share of the signs under which the sum is at least the one seen; rounding tells no two sums apart."""
    seen, slack = difference.sum(), _TIE * max(float(np.abs(difference).max()), 1e-300)
    count = int((signs @ difference >= seen - slack).sum())
    return count / len(signs) if difference.size <= _ALL_SIGNS else (1 + count) / (1 + len(signs))
