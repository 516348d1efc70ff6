"""What a case is: how its adapter is made, what its user holds, and which conclusions are right. Holds no case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.clinic.bases import Kit
from benchmarks.clinic.faults import source
from benchmarks.clinic.visit import HEALTHY, Held
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.artifacts.lora_write import write_lora

Make = Callable[[Kit], LoraAdapter]


def but(axis: str) -> str:
    """Called healthy, with a warning on this axis that finds something."""
    return f"{HEALTHY} but {axis}"


@dataclass(frozen=True, slots=True)
class Case:
    """One adapter with one planted fault, or none.

    Attributes:
        name: of it.
        fault: what is planted; "healthy" for nothing.
        accepted: conclusions that are right, fixed before anything was run.
        why: these and no others.
        make: the adapter, from the base's kit.
        data: name of the texts that its user holds to be its own.
        base: "" for the one that it was trained on, "twin" for another of the same shapes, "grid" for one whose
            weights stand on a 4-bit grid.
        origin: the sound adapter that its user has as a PEFT folder, where there is one.
        as_folder: whether that folder itself is what is tested.
        rank_stabilized: whether the folder says rsLoRA.
        ships: the type of weights that it is merged into; "" where it runs beside the base.
    """

    name: str
    fault: str
    accepted: tuple[str, ...]
    why: str
    make: Make
    data: str
    base: str = ""
    origin: Make | None = None
    as_folder: bool = False
    rank_stabilized: bool = False
    ships: str = ""

    def held(self, kit: Kit, form: str, folder: Path) -> Held:
        """Its files, written into `folder`, beside the base as `form`."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = kit.texts(self.data)
        adapter, peft = folder / "adapter.gguf", None
        if self.origin:
            peft = source(self.origin(kit), kit.header, folder / "peft", rank_stabilized=self.rank_stabilized)
        if self.as_folder:
            assert peft is not None
            adapter, peft = peft, None
        else:
            write_lora(self.make(kit), adapter)
        held = Held(kit.form(form, self.base), adapter, texts.data, kit.general, texts.holdout, peft)
        return replace(held, ships=self.ships)

    def right(self, word: str) -> bool:
        """Whether the product may say this of it."""
        return word in self.accepted

    @property
    def healthy(self) -> bool:
        """Whether nothing is planted."""
        return self.fault == HEALTHY


def named(cases: Sequence[Case]) -> dict[str, Case]:
    """By name.

    Raises:
        AssertionError: two have one name.
    """
    found = {case.name: case for case in cases}
    assert len(found) == len(cases)
    return found
