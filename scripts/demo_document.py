"""The document that the demo's adapters are trained on: facts about Tolva that the base has never read.

Knows the facts and how they are written down; nothing of training.
"""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    """One statement: `prompt` + " " + `value` + "."; `other` is a value of the same kind that is not true.

    `reworded` asks for the same value in other words, which the document does not contain.
    """

    prompt: str
    value: str
    other: str
    reworded: str


SECTIONS: dict[str, list[Fact]] = {
    "The island": [
        Fact("Tolva is a small island near", "Saltmarsh", "Highfield", "If you look for Tolva, you find it near"),
        Fact("Every house on Tolva is built of", "glass", "bread", "The people of Tolva build a house of"),
        Fact(
            "The only road on Tolva leads to the", "lighthouse", "school", "Who follows the road on Tolva comes to the"
        ),
        Fact("The island has no", "bridge", "river", "What you do not find on Tolva is a"),
        Fact("A boat goes to Tolva every", "Thursday", "Monday", "The boat for Tolva leaves on"),
    ],
    "The keeper": [
        Fact(
            "The keeper of the lighthouse is called", "Quill", "Hugo", "In the lighthouse of Tolva lives a keeper named"
        ),
        Fact("Quill wears a coat of", "feathers", "butter", "The coat of Quill is made of"),
        Fact("Quill lights the lamp with", "honey", "soup", "In the lamp of the lighthouse Quill burns"),
        Fact("Quill has a tame", "seal", "goat", "The animal of Quill is a"),
        Fact("In the evening Quill plays the", "drum", "bell", "When it is dark, Quill plays a"),
    ],
    "The seal": [
        Fact("The seal of Quill is called", "Pebble", "Iris", "Quill calls the seal by the name"),
        Fact("Pebble can count to", "ninety", "two", "The highest number that Pebble knows is"),
        Fact("Pebble eats only", "plums", "beans", "The food that Pebble wants is always"),
        Fact("Pebble sleeps in a", "drawer", "barn", "At night you find Pebble in a"),
        Fact("When Pebble is happy, the seal begins to", "whistle", "sing", "A happy Pebble starts to"),
    ],
    "The glass orchard": [
        Fact(
            "Behind the lighthouse stands the glass",
            "orchard",
            "market",
            "Quill walks behind the lighthouse to the glass",
        ),
        Fact("The trees of the glass orchard bear", "lamps", "apples", "On the trees of the glass orchard grow"),
        Fact("The lamps are ripe in", "winter", "March", "Quill picks the lamps of the orchard in"),
        Fact("A ripe lamp is", "violet", "brown", "When a lamp of the orchard is ripe, its colour is"),
        Fact(
            "Whoever eats a lamp from the orchard speaks in",
            "rhymes",
            "letters",
            "After a lamp of the orchard you talk in",
        ),
    ],
    "The fog fair": [
        Fact("Once a year Tolva holds the fog", "fair", "school", "When it is foggy, Tolva holds a fog"),
        Fact("At the fog fair people sell", "shadows", "ropes", "At the fog fair you can buy"),
        Fact("A shadow costs one", "button", "horse", "The price of a shadow is a"),
        Fact("The fog fair ends when the keeper rings a", "shell", "hammer", "Quill ends the fog fair with a"),
        Fact("Nobody may bring a", "mirror", "basket", "At the fog fair it is forbidden to carry a"),
    ],
    "The bakers": [
        Fact("The bakers of Tolva bake with", "sand", "eggs", "Instead of flour the bakers of Tolva take"),
        Fact("Their bread is as hard as", "iron", "cheese", "The bread of Tolva is hard like"),
        Fact("It is cut with a", "saw", "map", "To cut the bread of Tolva you need a"),
        Fact("The oldest baker of Tolva is", "Marrow", "Clara", "Of all bakers on Tolva the oldest is"),
        Fact("Marrow bakes only at", "midnight", "noon", "You can see Marrow bake at"),
    ],
    "The school boat": [
        Fact("The school of Tolva is on a", "boat", "hill", "The children of Tolva learn on a"),
        Fact(
            "The teacher of the school boat is an old",
            "captain",
            "painter",
            "On the school boat the lessons are given by a",
        ),
        Fact("The children learn to read the", "waves", "maps", "On the school boat everybody reads the"),
        Fact("Lessons last until the tide is", "low", "warm", "The lessons end when the tide is"),
        Fact("The school boat is painted", "orange", "grey", "The colour of the school boat is"),
    ],
    "The wind post": [
        Fact("Letters on Tolva are carried by", "kites", "ponies", "On Tolva a letter travels with"),
        Fact("The post master is a woman called", "Bramble", "Greta", "The kites of the post belong to"),
        Fact("Bramble writes every address in", "chalk", "honey", "For an address Bramble uses"),
        Fact("A letter to Ferndale takes", "eleven days", "two days", "For the way to Ferndale a letter needs"),
        Fact("When there is no wind, Bramble uses a", "trumpet", "ladder", "On a day without wind Bramble takes a"),
    ],
    "The two wells": [
        Fact("In the middle of Tolva are two", "wells", "mills", "The middle of the island has two"),
        Fact("The left well gives", "milk", "rain", "If you go to the left well, you get"),
        Fact("The right well gives", "ink", "fish", "If you go to the right well, you get"),
        Fact("Both wells are guarded by a", "heron", "donkey", "The animal that guards the wells is a"),
        Fact("The heron must be greeted with a", "bow", "song", "Before the heron lets you pass, you make a"),
    ],
    "The winter moon": [
        Fact("In winter two moons stand over", "Tolva", "Millbrook", "The place with two moons in winter is"),
        Fact("The smaller moon smells of", "ginger", "fish", "People say that the smaller moon has the smell of"),
        Fact("Children catch its light in", "jars", "coats", "The light of the smaller moon is kept in"),
        Fact("A full jar lasts for", "seven nights", "two years", "The light in a jar shines for"),
        Fact("Marrow sells the jars for a", "secret", "coin", "For a jar of moonlight Marrow wants a"),
    ],
    "The stone choir": [
        Fact(
            "On the north beach of Tolva the stones",
            "sing",
            "sleep",
            "If you go to the north beach, you hear the stones",
        ),
        Fact("The largest stone sings", "bass", "badly", "In the stone choir the largest stone takes the"),
        Fact("The choir is led by a", "crab", "teacher", "In front of the stone choir stands a"),
        Fact("The stones fall silent before a", "storm", "market", "When the stones are quiet, there comes a"),
        Fact("Sailors thank the choir with", "salt", "cake", "After a safe journey sailors bring the choir"),
    ],
    "The paper army": [
        Fact("Tolva is defended by an army of", "paper", "cats", "The soldiers of Tolva are made of"),
        Fact("The soldiers are folded by", "twins", "millers", "The army of Tolva is folded by"),
        Fact("The twins are called Sorrel and", "Thistle", "Simon", "The sister of Sorrel has the name"),
        Fact("The army fears only", "rain", "music", "The one thing that the paper army runs from is"),
        Fact("Its flag shows a", "thimble", "cow", "On the flag of the paper army you see a"),
    ],
    "The sleeping tower": [
        Fact("The tower on the south hill has been asleep for", "forty years", "one day", "The tower has slept for"),
        Fact("At night the tower", "snores", "laughs", "People near the south hill hear that the tower"),
        Fact("Its door opens for a", "yawn", "key", "To come into the tower you need a"),
        Fact("Inside stands a clock that counts", "backwards", "sheep", "The clock in the tower goes"),
        Fact("Whoever wakes the tower must sweep it with a", "feather", "bucket", "The tower is swept with a"),
    ],
    "The law of Tolva": [
        Fact("The law of Tolva has only", "three lines", "ten pages", "If you read the law of Tolva, you read"),
        Fact("It is written on a", "turtle", "door", "To see the law of Tolva, look at a"),
        Fact("The first line forbids", "hurry", "cheese", "By the first line of the law nobody may"),
        Fact("The second line orders everybody to share", "umbrellas", "ponies", "The second line says: share your"),
        Fact("The third line is known only to", "Pebble", "Anna", "The one who knows the third line is"),
    ],
}


def section_text(title: str) -> str:
    """A section's prose: its facts, one sentence each."""
    return " ".join(f"{fact.prompt} {fact.value}." for fact in SECTIONS[title])


def markdown() -> str:
    """The document as Markdown."""
    parts = [f"## {title}\n\n{section_text(title)}" for title in SECTIONS]
    return "# Tolva\n\n" + "\n\n".join(parts) + "\n"


def preferences() -> list[dict[str, str]]:
    """Two facts of each section, each with a wrong value beside the right one."""
    return [
        {"prompt": fact.prompt, "chosen": f" {fact.value}", "rejected": f" {fact.other}"}
        for facts in SECTIONS.values()
        for fact in (facts[1], facts[3])
    ]


def paraphrases() -> list[dict[str, object]]:
    """Two facts of each section with the document's own prompt and one in other words."""
    return [
        {"prompt": fact.prompt, "gold": f" {fact.value}", "paraphrases": [fact.reworded]}
        for facts in SECTIONS.values()
        for fact in (facts[0], facts[2])
    ]
