"""Draws from items by what they say: a panel on which nulls and the real adapter are compared, a sample of long data.

Knows that units of the material go by their words and not by their names, which are line numbers often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from sway_gguf.core.sections import Unit, words_of

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


def sample_of(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of `items`, order kept: the same whatever the run's seed, so that other seeds measure other nulls.

    Of data with one unit more, wherever it stands, one other at most is taken.
    """
    return panel_of(items, most, seed=0)


def _digest(item: object, seed: int) -> bytes:
    told = words_of(item) if isinstance(item, Unit) else item
    return hashlib.sha256(f"{seed} {told!r}".encode("utf-8", "surrogatepass")).digest()
