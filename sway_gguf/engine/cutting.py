"""Cuts a row into units by what its members are: one more of them changes the unit that it falls into, and no other.

Counted off from the beginning, units would all shift behind whatever comes in. So the row is parted where neighbours
are furthest apart, each half again, and so on: a tree that hangs on the members alone. A unit is always a whole branch
of it, and what comes in grows in one place of the tree. Knows rows and costs; neither jobs nor tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Closeness = TypeVar("Closeness", int, tuple[int, int])
Unit = tuple[int, int]
"""First place in the row, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """The cheapest units of a branch, and what they cost together."""

    first: int
    stop: int
    cost: float
    units: list[Unit]


def cut(closeness: Sequence[Closeness], cost: Callable[[int, int], float]) -> list[Unit]:
    """The cheapest units of a row of one member more than `closeness` has numbers.

    Args:
        closeness: of each member to the next; the row is parted at the least.
        cost: of the members from one place up to another as a unit; infinite where they cannot be one. A member alone
            always can.
    """
    open_branches: list[tuple[Closeness, _Branch]] = []
    last = len(closeness)
    for place in range(last + 1):
        branch = _Branch(place, place + 1, cost(place, place + 1), [(place, place + 1)])
        while open_branches and (place == last or open_branches[-1][0] >= closeness[place]):
            branch = _joined(open_branches.pop()[1], branch, cost)
        if place < last:
            open_branches.append((closeness[place], branch))
    return branch.units


def _joined(one: _Branch, other: _Branch, cost: Callable[[int, int], float]) -> _Branch:
    """Two neighbours as one unit, or as they are where that is cheaper."""
    together, apart = cost(one.first, other.stop), one.cost + other.cost
    if together <= apart:
        return _Branch(one.first, other.stop, together, [(one.first, other.stop)])
    return _Branch(one.first, other.stop, apart, [*one.units, *other.units])
