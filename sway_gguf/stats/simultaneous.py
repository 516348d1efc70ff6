"""Lower bounds on several means over the same items that hold all at once. Knows a table of numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sway_gguf.stats.interval import MIN_ITEMS
from sway_gguf.stats.signs import signs_of

_DRAWN = 4095
_ALL_SIGNS = 12
"""Up to so many items every assignment of signs is taken; beyond, as many are drawn by seed as would be here."""
_NO_SPREAD = 1e-12
"""Of a row's variance: what is below it is rounding."""


def lower_bounds(
    table: Sequence[ArrayLike], *, seed: int, confidence: float = 0.95, symmetric: bool = False
) -> NDArray[np.float64] | None:
    """One lower bound per row; with probability `confidence` all of them lie below their true means at once.

    The largest studentized mean over the rows is held against its distribution over resamples of the items, the same
    items for all rows, so that however the rows hang together is kept (Romano & Wolf 2005). So the best of many rows
    cannot win by having been picked. Resamples keep the rows' skewness, which signs on the deviations would wipe out:
    of ten rows with a long lower tail one would lie above its mean in two of five cases (benchmarks/bounds.py).

    Args:
        table: [k, n] row by row, the same n items in each.
        seed: of the resamples, or of the signs.
        confidence: one-sided.
        symmetric: take the items' deviations to be as likely of either sign, as of the same words under two templates,
            and turn signs in place of resampling (wild bootstrap, Wu 1986): with five items resamples show nothing.

    Returns:
        [k], or None with fewer than `MIN_ITEMS` items or no row.
    """
    rows = np.asarray(table, np.float64)
    if rows.ndim != 2 or not rows.shape[0] or rows.shape[1] < MIN_ITEMS:
        return None
    means, count = rows.mean(axis=1), rows.shape[1]
    constant = np.ptp(rows, axis=1) == 0
    errors = np.where(constant, 0.0, rows.std(axis=1, ddof=1)) / np.sqrt(count)
    deviations = np.where(constant[:, None], 0.0, rows - means[:, None])
    largest = (_turned if symmetric else _studentized)(deviations, seed).max(axis=1)
    reach = float(np.quantile(largest, confidence, method="higher"))
    return np.asarray(means - reach * errors)


def _turned(deviations: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """[assignments, k] each row's mean over its standard error, its deviations' signs turned."""
    count = deviations.shape[1]
    flipped = signs_of(count, every=_ALL_SIGNS, seed=seed)[:, None, :] * deviations
    spread = flipped.std(axis=2, ddof=1) / np.sqrt(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, flipped.mean(axis=2) / spread, 0.0)


def _studentized(deviations: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """[resamples, k] each row's mean over its standard error. A resample of one value stands as far out as any
    of its row: of a row of equal items but one every third is such, and no other row is to pay for it."""
    count = deviations.shape[1]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _DRAWN) / count
    means, squares = weights @ deviations.T, weights @ (deviations**2).T
    variances = squares - means**2
    spread = variances > _NO_SPREAD * (deviations**2).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(spread, means / np.sqrt(variances / (count - 1)), 0.0)
    farthest = np.abs(found).max(axis=0)
    return np.where(spread, found, np.sign(means) * farthest)
