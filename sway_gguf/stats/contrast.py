"""Items against controls: what the items gained beyond what any group of controls gained. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def contrast(items: ArrayLike, groups: Sequence[ArrayLike] = (), axis: int = -1) -> NDArray[np.float64]:
    """mean(items) − max(0, the largest mean of any group), along `axis`.

    Only a gain of the controls is taken off. What they lost is damage; it makes nothing of what the items did.

    Args:
        items: [n], or [..., n] for many resamples at once.
        groups: likewise, one per sort of control; may be empty.
        axis: to average over.
    """
    return np.asarray(np.mean(np.asarray(items, np.float64), axis=axis) - gain_of(groups, axis))


def gain_of(groups: Sequence[ArrayLike], axis: int = -1) -> NDArray[np.float64]:
    """max(0, the largest mean of any group), along `axis`: what `contrast` takes off."""
    gain: NDArray[np.float64] = np.zeros(())
    for group in groups:
        gain = np.maximum(gain, np.mean(np.asarray(group, np.float64), axis=axis))
    return gain
