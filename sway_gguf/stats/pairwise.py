"""Which of several scores surely lie above which others, over the same items, all pairs at once. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sway_gguf.stats.interval import MIN_ITEMS

_DRAWN = 4095
_CHUNK = 256
"""Ways to turn signs that are held in memory at once."""

Floats = NDArray[np.float64]


def pairwise_bounds(groups: Sequence[ArrayLike], *, seed: int, confidence: float = 0.95) -> Floats | None:
    """[k, k] lower bounds of score i − score j; with probability `confidence` all lie below the true differences.

    A score is the sum over the groups of the mean over the group's items, and a candidate is a row of each. The largest
    studentized difference over all pairs is held against its distribution under the wild bootstrap: signs on the
    deviations of the items, the same for all rows (Wu 1986; Romano & Wolf 2005). All pairs are covered, so the bounds
    hold for whichever row turns out to be the best (multiple comparisons with the best, Hsu 1981), and for whichever
    pair somebody looks at afterwards.

    Args:
        groups: [k, n] each, the same rows in all, the same items along a row of each.
        seed: of the signs.
        confidence: of all pairs together, two-sided.

    Returns:
        None where a group has fewer than `MIN_ITEMS` items, or there is no group or no row.

    Raises:
        ValueError: groups of different rows, or a value that is not finite.
    """
    tables = [np.asarray(group, np.float64) for group in groups]
    if len({table.shape[0] for table in tables}) > 1:
        raise ValueError("every group needs a row for every candidate")
    if not all(np.isfinite(table).all() for table in tables):
        raise ValueError("a comparison needs finite values")
    if not tables or not tables[0].shape[0] or any(table.shape[1] < MIN_ITEMS for table in tables):
        return None
    scores = np.sum([table.mean(axis=1) for table in tables], axis=0)
    first, second = np.triu_indices(len(scores), 1)
    parts = [(table - table.mean(axis=1, keepdims=True)) for table in tables]
    pairs = [part[first] - part[second] for part in parts]
    errors = np.sqrt(np.sum([pair.var(axis=1, ddof=1) / pair.shape[1] for pair in pairs], axis=0))
    reach = _reach(pairs, seed, confidence) if len(first) else 0.0
    spread = np.zeros((len(scores), len(scores)))
    spread[first, second] = spread[second, first] = reach * errors
    return np.asarray(scores[:, None] - scores[None, :] - spread)


def _reach(pairs: Sequence[Floats], seed: int, confidence: float) -> float:
    """How many standard errors the largest difference of all pairs reaches by chance. [pairs, n] each → one number."""
    rng = np.random.default_rng(seed)
    squares = [(pair**2).mean(axis=1) for pair in pairs]
    largest = []
    for start in range(0, _DRAWN, _CHUNK):
        count = min(_CHUNK, _DRAWN - start)
        mean, square = 0.0, 0.0
        for pair, whole in zip(pairs, squares, strict=True):
            items = pair.shape[1]
            flipped = rng.choice((1.0, -1.0), (count, items)) @ pair.T / items
            mean = mean + flipped
            square = square + np.maximum(whole - flipped**2, 0.0) / (items - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            studentized = np.where(square > 0, np.abs(mean) / np.sqrt(square), 0.0)
        largest.append(studentized.max(axis=1))
    return float(np.quantile(np.concatenate(largest), confidence, method="higher"))
