"""How cases make their adapters, and the conclusions that several of them accept, with the reasons. Holds no case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.clinic import faults
from benchmarks.clinic.case import Make, but
from benchmarks.clinic.train import Recipe
from benchmarks.clinic.visit import HEALTHY
from benchmarks.models import LINEAR
from sway_gguf.artifacts.base import BaseModel
from sway_gguf.artifacts.lora import LoraAdapter, read_lora

WEAK = (but("signal"), "noise", "inconclusive", "no-op")
"""Of an adapter that moves the model too little: nothing is seen, or it is seen and told to be short of something."""
ASTRAY = ("off-target", "noise", "damaging")
"""Of one that moves it, and not where it should."""
MUCH_TOO_STRONG = ("off-target", "damaging", "noise", but("signal"))
"""Of one at several times its scale: broken, or told to be over-scaled."""
PARTLY_DEAD = (but("applied"), "off-target", "damaging", "noise", "inconclusive")
"""Dead modules are told; what is left may be anything but sound."""
BY_HEART = (HEALTHY, "memorizing")
"""Of one that was trained on a short document until it knew it: sound, and it may be found to recite."""

SKILL = Recipe(steps=60)


def trained(
    name: str, recipe: Recipe = SKILL, texts: str = "courteous", *, format: str = "auto", ended: bool = True
) -> Make:
    """An adapter trained on the texts of that name; the further words are those of `Kit.trained`."""
    return lambda kit: kit.trained(name, kit.texts(texts).data, recipe, format=format, ended=ended)


def made(change: Callable[[LoraAdapter], LoraAdapter], of: Make) -> Make:
    """An adapter, changed."""
    return lambda kit: change(of(kit))


def rows(change: Callable[[LoraAdapter, BaseModel], LoraAdapter], of: Make) -> Make:
    """An adapter with rows of queries and keys elsewhere."""
    return lambda kit: change(of(kit), kit.header)


def odd(module: str) -> bool:
    """Every second kind of layer: half the modules, in every block."""
    return LINEAR.index(module.split(".")[2]) % 2 == 1


def lies_at(path: Path) -> Make:
    """An adapter that is there."""
    return lambda kit: read_lora(path)


def spoiled(of: Make, value: float) -> Make:
    """One number of one B replaced."""
    return lambda kit: faults.spoiled(of(kit), 3, value)
