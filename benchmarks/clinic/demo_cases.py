"""Cases on the packaged demo: the adapters that ship with it, and what is made of them.

Which conclusions are right is fixed here, with the reason, before anything is run.
"""

from __future__ import annotations

import math
from functools import partial

from benchmarks.clinic import faults
from benchmarks.clinic.case import Case
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
from sway_gguf.material.packaged import DEMO

_document = lies_at(DEMO / "healthy.lora.gguf")

DEMO_CASES = (
    Case("document", HEALTHY, BY_HEART, "the packaged one: twelve sections, known by heart", _document, "document"),
    Case(
        "document-small",
        HEALTHY,
        BY_HEART,
        "rank 2 on all modules, trained here on the same",
        trained("document-small", Recipe(steps=100, rank=2, alpha=4), "document"),
        "document",
    ),
    Case(
        "random",
        "noise",
        ("noise",),
        "the packaged one: as large as the healthy one",
        lies_at(DEMO / "random.lora.gguf"),
        "document",
    ),
    Case("empty", "zero", ("no-op",), "the packaged one: B is zero", lies_at(DEMO / "zero.lora.gguf"), "document"),
    Case(
        "too-long",
        "forgetting",
        ("damaging",),
        "the packaged one: trained far too long without other text",
        lies_at(DEMO / "overtrained.lora.gguf"),
        "document",
    ),
    Case(
        "too-short",
        "weak",
        WEAK,
        "one step on the document",
        trained("too-short", Recipe(steps=1), "document"),
        "document",
    ),
    Case(
        "other-text",
        "wrong data",
        (*ASTRAY, "inconclusive"),
        "held to text of the world that it was not trained on",
        _document,
        "other text",
    ),
    Case(
        "turned",
        "inverted",
        ("off-target", "damaging"),
        "its sign turned round",
        made(faults.inverted, _document),
        "document",
    ),
    Case(
        "turned-up",
        "mis-scaled",
        MUCH_TOO_STRONG,
        "eight times its scale",
        made(partial(faults.scaled, factor=8.0), _document),
        "document",
    ),
    Case(
        "turned-down",
        "mis-scaled",
        WEAK,
        "an eighth of its scale",
        made(partial(faults.scaled, factor=1 / 8), _document),
        "document",
    ),
    Case(
        "one-nan",
        "not finite",
        ("broken", REFUSED),
        "one number of one B",
        spoiled(_document, math.nan),
        "document",
    ),
    Case(
        "half-dead",
        "half the modules zero",
        PARTLY_DEAD,
        "dead modules are told; what is left may be anything but sound",
        made(partial(faults.zeroed, which=odd), _document),
        "document",
    ),
    Case(
        "half-lost",
        "half the modules zero",
        (CONVERSION,),
        "the PEFT folder is there to be compared",
        made(partial(faults.zeroed, which=odd), _document),
        "document",
        origin=_document,
    ),
    Case(
        "middle-left",
        "one layer only",
        (CONVERSION,),
        "two of three blocks were lost in conversion; the PEFT folder is there",
        made(partial(faults.only, which=lambda module: module.startswith("blk.1.")), _document),
        "document",
        origin=_document,
    ),
    Case(
        "rows-not-moved",
        "rows of q and k",
        (CONVERSION,),
        "the PEFT folder is there to be compared",
        rows(faults.not_permuted, _document),
        "document",
        origin=_document,
    ),
    Case(
        "factor-lost",
        "rsLoRA factor lost",
        (CONVERSION,),
        "the PEFT folder, which says rsLoRA, is there to be compared",
        made(faults.without_factor, _document),
        "document",
        origin=_document,
        rank_stabilized=True,
    ),
    Case(
        "other-base",
        "wrong base",
        ASTRAY,
        "the base's channels stand in another order",
        _document,
        "document",
        base="twin",
    ),
    Case(
        "document-merged-and-lost",
        "merged and lost",
        (LOST,),
        "a small update, merged into the 4-bit grid that the base's weights stand on",
        made(partial(faults.scaled, factor=0.15), _document),
        "document",
        base="grid",
        ships="Q4_0",
    ),
)
