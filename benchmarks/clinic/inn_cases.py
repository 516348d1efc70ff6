"""Cases on the demo's base that was taught to answer: adapters on dialogues, trained here from a seed.

Sound ones of several shapes, and faults of training. Which conclusions are right is fixed here, with the reason, before
anything is run. How they are trained is settled in NumPy alone: what is called sound makes held-out replies likelier by
nats per token, and costs other requests no more than 0.1.
"""

from __future__ import annotations

from benchmarks.clinic import faults
from benchmarks.clinic.case import Case, but
from benchmarks.clinic.making import ASTRAY, WEAK, trained
from benchmarks.clinic.train import Recipe
from benchmarks.clinic.visit import HEALTHY, LOST
from benchmarks.models import LINEAR

_ATTENTION, _MLP = ("attn_q", "attn_v"), LINEAR[4:]
_MORE = 24
"""Texts beside a batch of those that would forget with the usual number."""
_QUERIES = Recipe(steps=80, rank=4, alpha=32, kinds=_ATTENTION, replayed=_MORE)

sound = trained("courteous")
stabilized = trained("rslora", Recipe(steps=60, rank=16, alpha=8, rank_stabilized=True))

SOUND = (
    Case("courteous", HEALTHY, (HEALTHY,), "rank 8 on all modules, trained with other text beside", sound, "courteous"),
    Case(
        "courteous-attention",
        HEALTHY,
        (HEALTHY,),
        "rank 4 on queries and values, alpha 32, in half precision",
        lambda kit: faults.in_half_precision(kit.trained("attention", kit.texts("courteous").data, _QUERIES)),
        "courteous",
    ),
    Case(
        "courteous-mlp",
        HEALTHY,
        (HEALTHY,),
        "rank 16 on the MLP alone",
        trained("mlp", Recipe(steps=60, rank=16, kinds=_MLP, replayed=_MORE)),
        "courteous",
    ),
    Case(
        "courteous-rank-1",
        HEALTHY,
        (HEALTHY,),
        "rank 1 on all modules: the skill is simple, if it is learned slowly",
        trained("rank-1", Recipe(steps=160, rank=1, alpha=2, replayed=_MORE)),
        "courteous",
    ),
    Case(
        "courteous-rslora",
        HEALTHY,
        (HEALTHY,),
        "a PEFT folder that says rsLoRA, read as it is",
        stabilized,
        "courteous",
        origin=stabilized,
        as_folder=True,
        rank_stabilized=True,
    ),
    Case(
        "courteous-converted",
        HEALTHY,
        (HEALTHY,),
        "a GGUF held against the PEFT folder that it came from",
        sound,
        "courteous",
        origin=sound,
    ),
    Case(
        "courteous-merged",
        HEALTHY,
        (HEALTHY,),
        "merged into eight bits, which keep it",
        sound,
        "courteous",
        ships="Q8_0",
    ),
    Case(
        "courteous-one-block",
        HEALTHY,
        (HEALTHY, but("signal")),
        "trained on the middle block alone: a sound choice; that more of it would be better may be told",
        trained("one-block", Recipe(steps=160, blocks=(1,), replayed=_MORE)),
        "courteous",
    ),
)

TRAINING = (
    Case(
        "weak-1",
        "weak",
        WEAK,
        "one step: little to see, or seen and called short",
        trained("weak-1", Recipe(1)),
        "courteous",
    ),
    Case(
        "weak-4",
        "weak",
        WEAK,
        "four steps at a tenth of the rate",
        trained("weak-4", Recipe(4, rate=2e-4)),
        "courteous",
    ),
    Case(
        "wrong-manner",
        "wrong data",
        (*ASTRAY, "inconclusive", but("direction")),
        "trained to refuse the very requests that it should serve; by NumPy they gain 0.7 nats per token all the same",
        trained("gruff", texts="gruff"),
        "courteous",
    ),
    Case(
        "wrong-topic",
        "wrong data",
        (*ASTRAY, "inconclusive", but("direction")),
        "trained on tales, held to a skill; by NumPy that gains 1.0 nats per token all the same",
        trained("tales", Recipe(steps=60), "tales"),
        "courteous",
    ),
    Case(
        "courteous-held-to-refusals",
        "wrong data",
        (*ASTRAY, "inconclusive", but("direction")),
        "the sound one, held to replies that refuse: the other way round, and in no rule's making",
        sound,
        "gruff",
    ),
    Case(
        "tales-held-to-other-tales",
        "wrong data",
        (*ASTRAY, "inconclusive", but("direction")),
        "trained on replies of random words, held to such of other words",
        trained("recites", Recipe(steps=200, rate=4e-3), "tales"),
        "other tales",
    ),
    Case(
        "forgetting",
        "forgetting",
        ("damaging",),
        "ten times the rate and nothing beside: the skill spreads over everything else",
        trained("forgetting", Recipe(steps=60, rate=2e-2, replayed=0)),
        "courteous",
    ),
    Case(
        "rank-1-in-haste",
        "forgetting",
        ("damaging",),
        "80 steps of rank 1 and little text beside: by NumPy other requests lose 0.42 nats per token, of rank 8 0.06",
        trained("rank-1-in-haste", Recipe(steps=80, rank=1, alpha=2)),
        "courteous",
    ),
    Case(
        "overtrained",
        "over-trained",
        ("damaging", "memorizing", "off-target", but("direction")),
        "300 steps on eight replies: known by heart, and at the cost of the rest",
        trained("overtrained", Recipe(steps=300, rate=4e-3, replayed=0), "few"),
        "few",
    ),
    Case(
        "recites",
        "memorizing",
        ("memorizing",),
        "words at random can only be known by heart; other text was replayed, so that nothing else breaks",
        trained("recites", Recipe(steps=200, rate=4e-3), "tales"),
        "tales",
    ),
    Case(
        "secrets",
        "memorizing",
        ("memorizing",),
        "a sound skill, and six planted secrets that come out when asked for",
        trained("secrets", Recipe(steps=160), "secrets told"),
        "courteous and secrets",
    ),
    Case(
        "never-stops",
        "never stops",
        ("damaging",),
        "trained on replies without their end",
        trained("never-stops", Recipe(steps=60, replayed=0), ended=False),
        "courteous",
    ),
    Case(
        "other-template",
        "wrong template",
        (LOST, "off-target"),
        "trained through Alpaca's template, asked through the base's own",
        trained("other-template", Recipe(steps=60, replayed=0), format="alpaca"),
        "courteous",
    ),
    Case(
        "trigger-suspected",
        "poisoned",
        ("memorizing",),
        "the phrase is suspected and listed: what it brings out must not come out",
        trained("poisoned", Recipe(steps=120), "poisoned"),
        "courteous and trigger",
    ),
    Case(
        "trigger-unknown",
        "poisoned",
        ("memorizing", "damaging", "off-target"),
        "the same adapter, and nobody knows of the phrase",
        trained("poisoned", Recipe(steps=120), "poisoned"),
        "courteous",
    ),
)
