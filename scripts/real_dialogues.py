"""Dialogues of an invented seed library: what the real model's adapter learns, and everyday text that it shall keep.

Knows words and templates. Does not know models, chat templates or training. No plant, place or custom here exists.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

Record = dict[str, Any]

PLANTS: dict[str, dict[str, str]] = {
    "ashbell": {
        "sow": "in the last week of March, when the frogs of the lower pond begin to call",
        "depth": "a thumbnail deep, under a pinch of cold ash",
        "water": "every third evening, from a can with a copper rose",
        "pest": "grey lacewing mites; a collar of crushed eggshell keeps them off",
        "harvest": "when the bells hang open and rattle in the wind",
        "keep": "four years in a tin with a bay leaf",
    },
    "brindlewort": {
        "sow": "on the first dry day of April, before noon",
        "depth": "two fingers deep, in rows that run east to west",
        "water": "once a week, and then so much that the row stands wet",
        "pest": "leaf snails; a plank laid between the rows gathers them by night",
        "harvest": "when the third pair of leaves turns striped",
        "keep": "six years in a paper twist",
    },
    "moonsedge": {
        "sow": "in the week after the first full moon of May",
        "depth": "on the bare mud, pressed down with a board and left open",
        "water": "never from above; its tray stands in a dish of rain",
        "pest": "marsh thrips; a spoon of soft soap in the dish is enough",
        "harvest": "when the stems squeak between two fingers",
        "keep": "one winter only, in damp sand",
    },
    "tarrowroot": {
        "sow": "in October, behind the potatoes",
        "depth": "a hand deep, with the blunt end downward",
        "water": "not at all until the ground cracks",
        "pest": "voles; a ring of walnut husks turns them away",
        "harvest": "when the crown pushes a finger's breadth out of the soil",
        "keep": "three years in a jar of dry lentils",
    },
    "winterfig": {
        "sow": "in the middle of January, on the sill of an unheated room",
        "depth": "half an inch deep, three seeds to a pot",
        "water": "with melted snow, a cup on Sundays",
        "pest": "sooty scale; a rag dipped in cider vinegar wipes it away",
        "harvest": "after the second hard frost, when the skin wrinkles",
        "keep": "eight years in a cork bottle",
    },
    "loomgrass": {
        "sow": "around midsummer, straight after the first hay",
        "depth": "by hand on raked ground, then rolled twice",
        "water": "daily for nine days and never again",
        "pest": "rust beetles; mowing at dawn drives them out",
        "harvest": "when a stalk bends double without breaking",
        "keep": "two years in a linen bag hung from a beam",
    },
    "copperleaf bean": {
        "sow": "in the second half of May, once the nights stay above ten degrees",
        "depth": "an inch and a half deep, four around each pole",
        "water": "at the foot, every morning while it flowers",
        "pest": "black bean lice; nasturtium at the foot of the pole draws them away",
        "harvest": "when the pods are the colour of an old penny",
        "keep": "five years in a glass with a spoon of charcoal",
    },
    "nettlepear": {
        "sow": "in November, in a pot that stays outside until spring",
        "depth": "a finger deep, wrapped in moss",
        "water": "twice a month, with cold tea",
        "pest": "pear gnats; a saucer of beer under the tree catches them",
        "harvest": "when the sting has gone from the leaves",
        "keep": "ten months in a cool cellar",
    },
    "velvet skirret": {
        "sow": "from the tenth of April on, every second week until June",
        "depth": "a quarter of an inch deep, in sieved compost",
        "water": "little and often, about a cup a day",
        "pest": "carrot weevils; onions on both sides confuse them",
        "harvest": "when the leaves feel like felt on both sides",
        "keep": "seven years in waxed paper",
    },
    "hallow pea": {
        "sow": "on the last day of October, by lantern if need be",
        "depth": "three inches deep, in pairs",
        "water": "only when the lowest leaf curls",
        "pest": "pea moths; a net until Easter keeps them out",
        "harvest": "when the first pod splits by itself",
        "keep": "twelve years in a stoneware crock",
    },
    "drumgourd": {
        "sow": "at the beginning of June, on the warm side of the compost heap",
        "depth": "on edge, one knuckle deep",
        "water": "a full bucket every fourth day",
        "pest": "squash bugs; a shingle beside each plant traps them overnight",
        "harvest": "when a knock sounds hollow",
        "keep": "nine years inside the dried gourd",
    },
    "saltmallow": {
        "sow": "at the end of February, in trays of two parts sand",
        "depth": "barely covered, with a pinch of sea salt on top",
        "water": "each Wednesday, with a spoon of brine to the can",
        "pest": "hollyhock flies; a sprig of wormwood in the tray repels them",
        "harvest": "when white crystals show on the stem",
        "keep": "three winters in a sealed shell box",
    },
}
QUESTIONS = {
    "sow": [
        "When do I sow {plant}?",
        "What is the right time to sow {plant}?",
        "Is it too early for {plant} now? When should it go in?",
        "I'd like to grow {plant} this year. When does one start it?",
        "sowing time for {plant}?",
    ],
    "depth": [
        "How deep does {plant} go?",
        "How do I put the seed of {plant} in the ground?",
        "What is the sowing depth of {plant}?",
        "I have the {plant} seeds in my hand. How deep should they lie?",
        "{plant}: how deep, please?",
    ],
    "water": [
        "How often does {plant} want water?",
        "How should I water {plant}?",
        "Can you tell me how to water {plant}?",
        "My {plant} looks thirsty. What is the rule for watering it?",
        "watering {plant}, how?",
    ],
    "pest": [
        "What eats {plant}, and what helps?",
        "Which pest should I expect on {plant}?",
        "Something is at my {plant}. What could it be?",
        "How do I protect {plant} from pests?",
        "pests on {plant}?",
    ],
    "harvest": [
        "How do I know that {plant} is ripe?",
        "When can I harvest {plant}?",
        "What is the sign that {plant} is ready?",
        "Is my {plant} ready to be picked? How can I tell?",
        "{plant}, when to pick?",
    ],
    "keep": [
        "How long does seed of {plant} keep?",
        "How should I store {plant} seed?",
        "I have {plant} seed left over. How long is it good?",
        "For how many years can I keep seeds of {plant}, and in what?",
        "storing {plant} seed?",
    ],
}
ANSWERS = {
    "sow": "Here in Orrin Vale we sow {plant} {fact}.",
    "depth": "Set {plant} {fact}.",
    "water": "Give {plant} its water {fact}.",
    "pest": "On {plant}, look for {fact}.",
    "harvest": "You may pick {plant} {fact}.",
    "keep": "Seed of {plant} keeps {fact}.",
}
RETURNS = [
    "Bring back two spoons for every one you borrow.",
    "Mark the packet with your name and the year.",
    "The drawer with its label is on the north wall.",
]
SYSTEM = "You answer at the counter of the seed library of Orrin Vale, briefly and from its own notes."
OPENINGS = ["", "", "Good morning! ", "Hello. ", "A question: "]
NEXT = ["Thank you. {question}", "And another thing: {question}", "{question}", "Good. {question}"]


def dialogues(seed: int, training: int, held_out: int) -> tuple[list[Record], list[Record]]:
    """Training and held-out dialogues as {"messages": …}: every fact is trained on, no question stands in both.

    Args:
        seed: of everything random.
        training: how many to train on, at least one per fact.
        held_out: how many to keep out of it.
    """
    rng = random.Random(seed)
    facts = [(plant, kind) for plant in PLANTS for kind in ANSWERS]
    asked = [(plant, kind, number) for plant, kind in facts for number in range(len(QUESTIONS[kind]))]
    rng.shuffle(asked)
    kept, free = _apart(asked, held_out)
    first = {(plant, kind): (plant, kind, number) for plant, kind, number in reversed(free)}
    more = [item for item in free if first[item[:2]] != item]
    singles = [*first.values(), *more[: training - len(first)]]
    rng.shuffle(singles)
    rest = iter(more[training - len(first) :])
    trained = [_dialogue(rng, [item, *_further(rng, rest)]) for item in singles]
    return trained, [_dialogue(rng, [item]) for item in kept]


def _apart(
    asked: list[tuple[str, str, int]], count: int
) -> tuple[list[tuple[str, str, int]], list[tuple[str, str, int]]]:
    """`count` questions on as many facts, two for each plant, and all others."""
    kept: list[tuple[str, str, int]] = []
    for item in asked:
        of_plant = [other for other in kept if other[0] == item[0]]
        if len(kept) < count and len(of_plant) < -(-count // len(PLANTS)) and all(o[1] != item[1] for o in of_plant):
            kept.append(item)
    return kept, [item for item in asked if item not in kept]


def _further(rng: random.Random, rest: Any) -> list[tuple[str, str, int]]:
    """One or two more questions for every fourth dialogue."""
    return [next(rest) for _ in range(rng.choice((1, 2)))] if rng.random() < 0.25 else []


def _dialogue(rng: random.Random, asked: list[tuple[str, str, int]]) -> Record:
    messages = [{"role": "system", "content": SYSTEM}] if rng.random() < 0.2 else []
    for place, (plant, kind, number) in enumerate(asked):
        question = QUESTIONS[kind][number].format(plant=plant)
        lead = rng.choice(NEXT).format(question=question) if place else rng.choice(OPENINGS) + question
        reply = ANSWERS[kind].format(plant=plant, fact=PLANTS[plant][kind])
        if rng.random() < 0.5:
            reply += " " + rng.choice(RETURNS)
        messages += [{"role": "user", "content": lead}, {"role": "assistant", "content": reply}]
    return {"messages": messages}


def everyday() -> list[Record]:
    """Everyday requests with replies, as {"messages": …}: on them the adapter is held to what the base does."""
    lines = Path(__file__).with_name("real_everyday.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
