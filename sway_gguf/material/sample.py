"""Picks items of a data file by seed, in one pass and constant memory. Knows units, not what they are for."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sway_gguf.core.sections import Canary, Material, Paraphrase, Preference, Section, Unit
from sway_gguf.material.read import material_of

Item = TypeVar("Item")
_KINDS: tuple[type[Unit], ...] = (Section, Preference, Paraphrase, Canary)


@dataclass
class Reservoir(Generic[Item]):
    """At most `most` of the items seen, each equally likely (algorithm R, Vitter 1985)."""

    most: int
    rng: random.Random
    seen: int = 0
    kept: list[tuple[int, Item]] = field(default_factory=list)

    def see(self, item: Item) -> None:
        """Offer one item."""
        if self.seen < self.most:
            self.kept.append((self.seen, item))
        elif (place := self.rng.randrange(self.seen + 1)) < self.most:
            self.kept[place] = (self.seen, item)
        self.seen += 1

    def picked(self) -> list[Item]:
        """What was kept, in the order seen."""
        return [item for _, item in sorted(self.kept, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class Sample:
    """What was picked, and how many there were of each."""

    material: Material
    sections: int
    preferences: int
    paraphrases: int
    canaries: int


def sample(units: Iterable[Unit], most: int, seed: int) -> Sample:
    """At most `most` sections, preferences, paraphrases and canaries each."""
    kinds = {kind: Reservoir[Unit](most, random.Random(f"{seed} {kind.__name__}")) for kind in _KINDS}
    for unit in units:
        kinds[type(unit)].see(unit)
    material = material_of(unit for kind in kinds.values() for unit in kind.picked())
    return Sample(material, *(kinds[kind].seen for kind in _KINDS))
