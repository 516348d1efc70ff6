"""Lower bounds on several means over the same items that hold all at once. Knows a table of numbers only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sway_gguf.stats.bootstrap import MIN_ITEMS

_ALL_SIGNS = 12
"""Up to so many items every assignment of signs is taken; beyond, as many are drawn by seed as would be here."""


def lower_bounds(table: Sequence[ArrayLike], *, seed: int, confidence: float = 0.95) -> NDArray[np.float64] | None:
    """One lower bound per row; with probability `confidence` all of them lie below their true means at once.

    The largest studentized mean over the rows is held against its distribution under the wild bootstrap (Rademacher
    signs on the deviations of the items, the same for all rows, so that however the rows hang together is kept; Wu
    1986, Romano & Wolf 2005). So the best of many rows cannot win by having been picked.

    Args:
        table: [k, n] row by row, the same n items in each.
        seed: of the signs, where they are drawn.
        confidence: one-sided.

    Returns:
        [k], or None with fewer than `MIN_ITEMS` items or no row.
    """
    rows = np.asarray(table, np.float64)
    if rows.ndim != 2 or not rows.shape[0] or rows.shape[1] < MIN_ITEMS:
        return None
    means, count = rows.mean(axis=1), rows.shape[1]
    errors = rows.std(axis=1, ddof=1) / np.sqrt(count)
    flipped = _signs(count, seed)[:, None, :] * (rows - means[:, None])
    spread = flipped.std(axis=2, ddof=1) / np.sqrt(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentized = np.where(spread > 0, flipped.mean(axis=2) / spread, 0.0)
    reach = float(np.quantile(studentized.max(axis=1), confidence, method="higher"))
    return np.asarray(means - reach * errors)


def _signs(count: int, seed: int) -> NDArray[np.float64]:
    """[m, count] of 1 and −1."""
    if count <= _ALL_SIGNS:
        return np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    return np.random.default_rng(seed).choice((1.0, -1.0), (1 << _ALL_SIGNS, count))
