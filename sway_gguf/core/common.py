"""What two sequences begin with alike. Knows neither text nor tokens."""

from __future__ import annotations

from collections.abc import Sequence


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many elements two sequences have in common before they part."""
    parted = (place for place, (x, y) in enumerate(zip(one, other, strict=False)) if x != y)
    return next(parted, min(len(one), len(other)))
