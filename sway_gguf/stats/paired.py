"""Whether paired differences lie below zero by more than chance. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_EXACT = 14
"""Up to so many differences all signs are tried; beyond, a sample of them."""
_DRAWS = 20_000


def below_zero_p(differences: Sequence[float], *, seed: int) -> float:
    """One-sided p of the sign-flip test (Fisher 1935): how often signs at random give a sum as low.

    Exact where differences are symmetric about zero under the null; differences without spread need no other rule, and
    n of them reach 2⁻ⁿ at best. All ties give 1.

    Args:
        differences: [n] new less old, one per item.
        seed: of the sample of signs where n is large.
    """
    values = np.asarray(differences, np.float64)
    sizes = np.abs(values[values != 0])
    if not sizes.size:
        return 1.0
    if sizes.size <= _EXACT:
        signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * sizes.size)).reshape(sizes.size, -1)
        added = 0
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (sizes.size, _DRAWS))
        added = 1
    sums = sizes @ signs
    reached = int((sums <= values.sum() + 1e-12 * sizes.sum()).sum())
    return (reached + added) / float(sums.size + added)


def smallest_p(count: int) -> float:
    """What so many differences reach at best."""
    return max(2.0**-count, 1 / (_DRAWS + 1) if count > _EXACT else 0.0)
