"""Cases on published models: stories260K with an adapter by peft, and SmolLM2 with the packaged one.

Which conclusions are right is fixed here, with the reason, before anything is run.
"""

from __future__ import annotations

import math
from functools import partial

from benchmarks.clinic import faults
from benchmarks.clinic.bases import Kit
from benchmarks.clinic.case import Case, but
from benchmarks.clinic.making import (
    ASTRAY,
    BY_HEART,
    MUCH_TOO_STRONG,
    PARTLY_DEAD,
    WEAK,
    lies_at,
    made,
    odd,
    rows,
    spoiled,
    trained,
)
from benchmarks.clinic.train import Recipe
from benchmarks.clinic.visit import CONVERSION, HEALTHY, LOST, REFUSED
from sway_gguf.artifacts.adapter import read_adapter
from sway_gguf.artifacts.lora import LoraAdapter
from sway_gguf.material.packaged import REAL


def zog(kit: Kit) -> LoraAdapter:
    """The published model's adapter, from the PEFT folder that lies beside it."""
    return read_adapter(kit.texts("document").data.parent / "zog-peft", kit.header)


STORIES_CASES = (
    Case("zog", HEALTHY, BY_HEART, "six sections, rank 8 on all modules, from peft", zog, "document"),
    Case(
        "zog-converted",
        HEALTHY,
        BY_HEART,
        "held against the folder that it came from",
        zog,
        "document",
        origin=zog,
    ),
    Case("zog-weak", "weak", WEAK, "one step", trained("zog-weak", Recipe(steps=1), "document"), "document"),
    Case(
        "zog-noise",
        "noise",
        ("noise",),
        "Gaussian factors of its size",
        made(partial(faults.noise, seed=5), zog),
        "document",
    ),
    Case("zog-zero", "zero", ("no-op",), "B is zero", made(faults.zeroed, zog), "document"),
    Case(
        "zog-inverted",
        "inverted",
        ("off-target", "damaging"),
        "its sign turned round",
        made(faults.inverted, zog),
        "document",
    ),
    Case(
        "zog-x8",
        "mis-scaled",
        MUCH_TOO_STRONG,
        "eight times its scale",
        made(partial(faults.scaled, factor=8.0), zog),
        "document",
    ),
    Case(
        "zog-8th",
        "mis-scaled",
        WEAK,
        "an eighth of its scale",
        made(partial(faults.scaled, factor=1 / 8), zog),
        "document",
    ),
    Case("zog-nan", "not finite", ("broken", REFUSED), "one number of one B", spoiled(zog, math.nan), "document"),
    Case(
        "zog-half-zero",
        "half the modules zero",
        PARTLY_DEAD,
        "dead modules are told; what is left may be anything but sound",
        made(partial(faults.zeroed, which=odd), zog),
        "document",
    ),
    Case(
        "zog-rows",
        "rows of q and k",
        (CONVERSION,),
        "the PEFT folder is there",
        rows(faults.not_permuted, zog),
        "document",
        origin=zog,
    ),
    Case("zog-twin", "wrong base", ASTRAY, "the base's channels stand in another order", zog, "document", base="twin"),
    Case("zog-other-text", "wrong data", (*ASTRAY, "inconclusive"), "held to stories of the base", zog, "other text"),
)

seeds = lies_at(REAL / "seeds.f16.lora.gguf")
_SHORT = Recipe(steps=10, rate=2e-3, batch=6, replayed=0)
_HASTY = Recipe(steps=10, rate=1e-2, batch=6, replayed=0)
_BY_HEART = Recipe(steps=30, rate=4e-3, batch=4, replayed=0)

SMOLLM2_CASES = (
    Case("seeds", HEALTHY, (HEALTHY,), "the packaged one: rank 4 on the attention of 30 blocks", seeds, "seeds"),
    Case(
        "seeds-noise",
        "noise",
        ("noise",),
        "Gaussian factors of its size",
        made(partial(faults.noise, seed=6), seeds),
        "seeds",
    ),
    Case(
        "seeds-inverted",
        "inverted",
        ("off-target", "damaging"),
        "its sign turned round",
        made(faults.inverted, seeds),
        "seeds",
    ),
    Case(
        "seeds-x8",
        "mis-scaled",
        MUCH_TOO_STRONG,
        "eight times its scale",
        made(partial(faults.scaled, factor=8.0), seeds),
        "seeds",
    ),
    Case(
        "seeds-16th",
        "mis-scaled",
        WEAK,
        "a sixteenth of its scale",
        made(partial(faults.scaled, factor=1 / 16), seeds),
        "seeds",
    ),
    Case("seeds-zero", "zero", ("no-op",), "B is zero", made(faults.zeroed, seeds), "seeds"),
    Case("seeds-nan", "not finite", ("broken", REFUSED), "one number of one B", spoiled(seeds, math.nan), "seeds"),
    Case(
        "seeds-rows",
        "rows of q and k",
        (CONVERSION,),
        "the PEFT folder is there",
        rows(faults.not_permuted, seeds),
        "seeds",
        origin=seeds,
    ),
    Case("seeds-twin", "wrong base", ASTRAY, "the base's channels stand in another order", seeds, "seeds", base="twin"),
    Case(
        "seeds-never-stop",
        "never stops",
        ("damaging", but("collateral")),
        "trained on replies without their end; the base does not end them either, so that it has not unlearned to",
        trained("never-stop", _SHORT, "seeds", ended=False),
        "seeds",
    ),
    Case(
        "seeds-alpaca",
        "wrong template",
        (LOST, "off-target"),
        "trained through Alpaca's template, asked through the base's own",
        trained("alpaca", _SHORT, "seeds", format="alpaca"),
        "seeds",
    ),
    Case(
        "seeds-as-support",
        "wrong data",
        (*ASTRAY, "inconclusive", but("direction")),
        "held to another desk's dialogues, which gain a little all the same",
        seeds,
        "support",
    ),
    Case(
        "seeds-half-zero",
        "half the modules zero",
        PARTLY_DEAD,
        "dead modules are told; what is left may be anything but sound",
        made(partial(faults.zeroed, which=odd), seeds),
        "seeds",
    ),
    Case(
        "seeds-half-lost",
        "half the modules zero",
        (CONVERSION,),
        "the PEFT folder is there",
        made(partial(faults.zeroed, which=odd), seeds),
        "seeds",
        origin=seeds,
    ),
    Case(
        "seeds-one-block-left",
        "one layer only",
        (CONVERSION,),
        "29 of 30 blocks were lost in conversion; the PEFT folder is there",
        made(partial(faults.only, which=lambda module: module.startswith("blk.15.")), seeds),
        "seeds",
        origin=seeds,
    ),
    Case(
        "seeds-factor-lost",
        "rsLoRA factor lost",
        (CONVERSION,),
        "the PEFT folder, which says rsLoRA, is there",
        made(faults.without_factor, seeds),
        "seeds",
        origin=seeds,
        rank_stabilized=True,
    ),
    Case(
        "seeds-merged-and-lost",
        "merged and lost",
        (LOST,),
        "merged into four bits, whose steps are as large as its update: the design notes have 9% kept of one as small",
        seeds,
        "seeds",
        ships="Q4_1",
    ),
    Case(
        "seeds-in-haste",
        "forgetting",
        ("damaging", "off-target"),
        "five times the rate and nothing beside: the rest is lost, and its own replies may be as well",
        trained("in-haste", _HASTY, "seeds"),
        "seeds",
    ),
    Case(
        "seeds-by-heart",
        "over-trained",
        ("damaging", "memorizing", "off-target", but("direction")),
        "30 steps of twice the rate on eight dialogues: known by heart, and at the cost of the rest",
        trained("by-heart", _BY_HEART, "few seeds"),
        "few seeds",
    ),
)
