"""Clusters of vectors, and how much of a value's variance they explain. Knows arrays only."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

_STARTS = 10


def clusters(vectors: NDArray[np.floating], count: int, *, seed: int) -> NDArray[np.int64]:
    """k-means labels (k-means++ starts, the tightest of ten), numbered by first appearance. [n, d] → [n].

    Empty clusters are dropped, so there may be fewer than `count`.

    Raises:
        ValueError: fewer vectors than clusters.
    """
    from scipy.cluster.vq import kmeans2

    if len(vectors) < count:
        raise ValueError(f"{len(vectors)} vectors cannot make {count} clusters")
    wide = np.asarray(vectors, np.float64)
    rng = np.random.default_rng(seed)
    best, tightest = np.zeros(len(wide), np.int64), np.inf
    for _ in range(_STARTS):
        # SciPy warns where a cluster runs empty, as it must when fewer vectors differ than clusters are asked for.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore")
            centers, labels = kmeans2(wide, count, minit="++", rng=rng, missing="warn")
        spread = float(((wide - centers[labels]) ** 2).sum())
        if spread < tightest:
            best, tightest = labels.astype(np.int64), spread
    _, first, numbered = np.unique(best, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[numbered], np.int64)


def specificity(values: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of the variance that lies between groups: the analysis of variance's η². [n], [n] → [0, 1].

    0 where all values are equal.
    """
    total = float(((values - values.mean()) ** 2).sum())
    if not total > 0:
        return 0.0
    within = sum(
        float(((group - group.mean()) ** 2).sum()) for group in (values[labels == k] for k in np.unique(labels))
    )
    return 1.0 - within / total
