"""adapter_health: what do the factors alone say of the adapter?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Literal

from pydantic import Field

from sway_gguf.core.adapter_facts import AdapterFacts, ModuleFacts
from sway_gguf.core.answers import Answers
from sway_gguf.core.listing import few
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.probes.base import StaticProbe
from sway_gguf.spec.options import ProbeOptions


class AdapterHealthOptions(ProbeOptions):
    """Fields of `adapter_health`."""

    kind: Literal["adapter_health"] = "adapter_health"
    outlier_factor: float = Field(default=20.0, gt=1, description="times the median update per weight")
    smallest_scaling: float = Field(default=0.05, gt=0, description="alpha / rank below which it is unusual")
    largest_scaling: float = Field(default=32.0, gt=0, description="alpha / rank above which it is unusual")


class AdapterHealth(StaticProbe[AdapterHealthOptions]):
    """Share of the modules that are alive, and what is odd about the factors. The model is not asked.

    - dead modules: A or B is zero. Non-finite ones: NaN or infinity.
    - effective rank: the participation ratio (Σσ²)² / Σσ⁴ of ΔW's singular values, between 1 and the rank.
    - structure: a B of independent entries with root mean square s has singular values up to the Marchenko–Pastur
      edge s·(√d_out + √r); training pushes some beyond it. None beyond it in any module looks untrained.
    - outliers: modules whose update per weight is far above the median; scaling alpha / rank far from the usual.
    """

    kind = "adapter_health"
    axis = "applied"
    question = "What do the adapter's factors alone say: dead modules, structure, outliers, scale?"
    unit = "share"
    passing = "no module is dead or non-finite, none stands out, B has structure, the scaling is usual"
    caveat = "sound factors can hold the wrong thing; only the other probes see what the adapter does."
    options_type = AdapterHealthOptions

    def missing(self) -> str:
        """The adapter."""
        return "" if self.sources.adapter else "there is no adapter"

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Facts of every module, and checks over all of them."""
        assert self.sources.adapter is not None
        adapters = self.sources.adapter()
        modules = [(facts, module) for facts in adapters for module in facts.modules]
        alive = [module for _, module in modules if _alive(module)]
        items = tuple(Item(_in(facts, module.module), module.norm, _detail(module)) for facts, module in modules)
        ranks = [effective_rank(module) for module in alive]
        notes = (
            (f"effective rank {median(ranks):.1f} of {median(module.rank for module in alive):g} in the median module",)
            if alive
            else ()
        )
        return Measurement(
            len(alive) / max(1, len(modules)),
            items,
            checks=tuple(check for facts in adapters for check in self._checks(facts)),
            interval=False,
            notes=notes,
        )

    def _checks(self, facts: AdapterFacts) -> tuple[Check, ...]:
        """Of one adapter; in a set they carry its name."""
        found = self._found(facts)
        return tuple(replace(each, name=_in(facts, each.name), text=_in(facts, each.text)) for each in found)

    def _found(self, facts: AdapterFacts) -> tuple[Check, ...]:
        alive = [module for module in facts.modules if _alive(module)]
        broken = [module.module for module in facts.modules if not module.finite]
        dead = [module.module for module in facts.modules if module.finite and module.norm == 0]
        # One column has no directions to compare: its only singular value is that of random numbers, whatever they are.
        telling = [module for module in alive if module.rank > 1]
        large = outliers(alive, self.options.outlier_factor)
        scalings = {facts.alpha / module.rank for module in facts.modules}
        usual = all(self.options.smallest_scaling <= abs(s) <= self.options.largest_scaling for s in scalings)
        shown = "/".join(f"{s:g}" for s in sorted(scalings))
        return (
            checked("finite", not broken, "no NaN", f"NaN or infinity in {few(broken)}"),
            checked("alive", not dead, "no dead module", f"no update at all in {few(dead)}"),
            checked(
                "structure",
                not telling or any(map(stands_out, telling)),
                "B has structure" if telling else "structure cannot be told of rank 1",
                "B looks like random numbers in every module",
            ),
            checked("even", not large, "no outlier", f"the update is far larger than elsewhere in {few(large)}"),
            checked("scale", usual, f"alpha / rank {shown}", f"alpha / rank is {shown}, far from the usual"),
            checked("whole", not facts.skipped, "nothing skipped", f"llama.cpp leaves out {few(facts.skipped)}"),
        )


def _alive(module: ModuleFacts) -> bool:
    return module.finite and module.norm > 0


def _in(facts: AdapterFacts, words: str) -> str:
    return f"{facts.name}: {words}" if facts.name else words


def effective_rank(module: ModuleFacts) -> float:
    """Participation ratio (Σσ²)² / Σσ⁴ of the update's singular values; 0 for a dead module."""
    squares = [value**2 for value in module.singular]
    fourth = sum(square**2 for square in squares)
    return float(sum(squares) ** 2 / fourth) if fourth > 0 else 0.0


def stands_out(module: ModuleFacts, slack: float = 1.05) -> bool:
    """Whether a singular value of B lies beyond the Marchenko–Pastur edge (Marchenko & Pastur 1967)."""
    edge = module.b_spread * (math.sqrt(module.shape[-2]) + math.sqrt(module.rank))
    return bool(module.b_singular and module.b_singular[0] > slack * edge)


def outliers(alive: Sequence[ModuleFacts], factor: float) -> list[str]:
    """Modules whose root mean square update per weight is `factor` times the median's or more."""
    if not alive:
        return []
    sizes = {module.module: module.norm / math.sqrt(math.prod(module.shape)) for module in alive}
    middle = median(sizes.values())
    return [name for name, size in sizes.items() if size >= factor * middle]


def _detail(module: ModuleFacts) -> dict[str, object]:
    return {
        "rank": module.rank,
        "finite": module.finite,
        "effective_rank": effective_rank(module),
        "beyond_edge": stands_out(module),
        "singular": list(module.singular),
    }
