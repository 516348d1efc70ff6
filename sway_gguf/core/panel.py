"""A panel: the items on which nulls and the real adapter are compared. Knows nothing of what items are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def panel_of(items: Sequence[Item], most: int, seed: int) -> list[Item]:
    """At most `most` of `items`, drawn whatever stands beside them, order kept.

    Each item has a place in the draw by a digest of the seed and of itself. So a larger panel holds the smaller one,
    one more item changes a panel by one at most, and probes that share items share them in their panels too.
    """
    if len(items) <= most:
        return list(items)
    drawn = sorted(range(len(items)), key=lambda place: (_digest(items[place], seed), place))
    return [items[place] for place in sorted(drawn[:most])]


def _digest(item: object, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {item!r}".encode("utf-8", "surrogatepass")).digest()
