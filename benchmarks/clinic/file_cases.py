"""Cases on the base that was taught to answer: a sound adapter, damaged in its file or on its way to the user.

Which conclusions are right is fixed here, with the reason, before anything is run.
"""

from __future__ import annotations

import math
from functools import partial

from benchmarks.clinic import faults
from benchmarks.clinic.case import Case, but
from benchmarks.clinic.inn_cases import sound, stabilized
from benchmarks.clinic.making import ASTRAY, MUCH_TOO_STRONG, PARTLY_DEAD, WEAK, made, odd, rows, spoiled, trained
from benchmarks.clinic.train import Recipe
from benchmarks.clinic.visit import CONVERSION, LOST, REFUSED

twisted = trained("queries", Recipe(steps=60, kinds=("attn_q", "attn_k")))

FILES = (
    Case(
        "noise",
        "noise",
        ("noise",),
        "Gaussian factors of the trained one's size",
        made(partial(faults.noise, seed=3), sound),
        "courteous",
    ),
    Case(
        "noise-x4",
        "noise",
        ASTRAY,
        "four times as large: it may do harm as well",
        made(partial(faults.noise, seed=4, times=4.0), sound),
        "courteous",
    ),
    Case("zero", "zero", ("no-op",), "B is zero in every module", made(faults.zeroed, sound), "courteous"),
    Case(
        "scale-lost",
        "zero",
        ("no-op",),
        "an alpha of a millionth",
        made(partial(faults.scaled, factor=1e-7), sound),
        "courteous",
    ),
    Case(
        "inverted",
        "inverted",
        ("off-target", "damaging"),
        "its sign turned round",
        made(faults.inverted, sound),
        "courteous",
    ),
    Case(
        "scaled-x8",
        "mis-scaled",
        MUCH_TOO_STRONG,
        "eight times its scale: broken, or told to be over-scaled",
        made(partial(faults.scaled, factor=8.0), sound),
        "courteous",
    ),
    Case(
        "scaled-8th",
        "mis-scaled",
        WEAK,
        "an eighth of its scale",
        made(partial(faults.scaled, factor=1 / 8), sound),
        "courteous",
    ),
    Case(
        "rslora-lost",
        "rsLoRA factor lost",
        (CONVERSION,),
        "its PEFT folder is there to be compared",
        made(faults.without_factor, stabilized),
        "courteous",
        origin=stabilized,
        rank_stabilized=True,
    ),
    Case(
        "rslora-lost-alone",
        "rsLoRA factor lost",
        WEAK,
        "without the folder it is an adapter at a quarter of its scale",
        made(faults.without_factor, stabilized),
        "courteous",
    ),
    Case(
        "nan",
        "not finite",
        ("broken", REFUSED),
        "one number of one B",
        spoiled(sound, math.nan),
        "courteous",
    ),
    Case(
        "infinite",
        "not finite",
        ("broken", REFUSED),
        "one number of one B",
        spoiled(sound, math.inf),
        "courteous",
    ),
    Case(
        "half-zero",
        "half the modules zero",
        PARTLY_DEAD,
        "dead modules are told; what is left may be anything but sound",
        made(partial(faults.zeroed, which=odd), sound),
        "courteous",
    ),
    Case(
        "half-zero-folder",
        "half the modules zero",
        (CONVERSION,),
        "its PEFT folder is there to be compared",
        made(partial(faults.zeroed, which=odd), sound),
        "courteous",
        origin=sound,
    ),
    Case(
        "one-block-left",
        "one layer only",
        (CONVERSION,),
        "two of three blocks were lost in conversion; the PEFT folder is there",
        made(partial(faults.only, which=lambda module: module.startswith("blk.1.")), sound),
        "courteous",
        origin=sound,
    ),
    Case("twin", "wrong base", ASTRAY, "trained on another base of these shapes", sound, "courteous", base="twin"),
    Case(
        "rows-as-in-peft",
        "rows of q and k",
        (CONVERSION,),
        "the PEFT folder is there to be compared",
        rows(faults.not_permuted, sound),
        "courteous",
        origin=sound,
    ),
    Case(
        "rows-moved-twice",
        "rows of q and k",
        (CONVERSION,),
        "the PEFT folder is there to be compared",
        rows(faults.permuted_twice, sound),
        "courteous",
        origin=sound,
    ),
    Case(
        "rows-alone",
        "rows of q and k",
        (*ASTRAY, "inconclusive", but("signal")),
        "queries and keys alone were trained, and no folder is there: what is left of them is little or nothing",
        rows(faults.not_permuted, twisted),
        "courteous",
    ),
    Case(
        "merged-and-lost",
        "merged and lost",
        (LOST,),
        "a small update, merged into the 4-bit grid that the base's weights stand on",
        made(partial(faults.scaled, factor=0.2), sound),
        "courteous",
        base="grid",
        ships="Q4_0",
    ),
)
