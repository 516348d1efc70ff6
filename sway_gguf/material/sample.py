"""Picks items of a data file by seed, in one pass and constant memory. Knows units, not what they are for."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sway_gguf.core.sections import Material, Paraphrase, Preference
from sway_gguf.material.read import Unit, material_of

Item = TypeVar("Item")


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


def sample(units: Iterable[Unit], most: int, seed: int) -> Sample:
    """At most `most` sections, preferences and paraphrases each."""
    kinds = {name: Reservoir[Unit](most, random.Random(f"{seed} {name}")) for name in ("section", "pair", "case")}
    for unit in units:
        name = "pair" if isinstance(unit, Preference) else "case" if isinstance(unit, Paraphrase) else "section"
        kinds[name].see(unit)
    material = material_of(unit for kind in kinds.values() for unit in kind.picked())
    return Sample(material, kinds["section"].seen, kinds["pair"].seen, kinds["case"].seen)
