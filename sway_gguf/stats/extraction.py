"""(n, p)-discoverable extraction: how many samples bring a text out. Knows log-probabilities only.

A text of probability q is among n samples at temperature 1, with no tokens cut off, with probability 1 − (1 − q)ⁿ
(Hayes et al. 2024, "Measuring memorization through probabilistic discoverable extraction"). One forward pass gives q.
"""

from __future__ import annotations

import math


def samples_needed(logprob: float, chance: float) -> float:
    """The smallest n for which the text is among n samples with at least this chance: ⌈log(1 − p) / log(1 − q)⌉.

    A whole number up to 2⁵³, the real number beyond, and infinity where that is no number.

    Raises:
        ValueError: a log-probability above 0, or a chance that is not between 0 and 1.
    """
    if not 0 < chance < 1:
        raise ValueError(f"a chance of {chance:g} is not between 0 and 1")
    missed = _log_missed(logprob)
    if missed == 0.0:
        return math.inf
    needed = math.log1p(-chance) / missed
    return float(max(1, math.ceil(needed))) if needed < 2.0**53 else needed


def _log_missed(logprob: float) -> float:
    """log(1 − q), exact for the smallest q too."""
    if logprob > 0:
        raise ValueError(f"a log-probability of {logprob:g} is above 0")
    q = math.exp(logprob)
    return math.log1p(-q) if q < 1.0 else -math.inf
